"""Waiting for runs: one by itself in either colour, and many in one event loop that share their polls."""
