"""One call in one flow run starts one run: decided in `decide`, and made so by the rest."""
