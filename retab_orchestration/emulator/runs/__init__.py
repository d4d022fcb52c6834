"""Runs: creating them, where each is at a moment, and the bodies of runs and steps of each generation."""
