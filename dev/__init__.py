"""What is for developers only and not shipped."""
