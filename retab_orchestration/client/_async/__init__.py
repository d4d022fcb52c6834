"""The client that awaits, from which the blocking one is written."""
