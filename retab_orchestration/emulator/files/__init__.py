"""Files: uploads and downloads, what is in documents, and the files that runs make."""
