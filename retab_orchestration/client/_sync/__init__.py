# Written by `python -m dev.blocking_client` from client/_async; change that.
"""The client that blocks."""
