"""Cancelling the run of a task that is stopped, or takes too long."""
