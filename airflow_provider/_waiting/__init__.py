"""Waiting for a run: on the worker, deferred, and what follows an event."""
