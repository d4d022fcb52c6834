"""One call in one flow run starts one run: `decide` says how, the other modules do it."""
