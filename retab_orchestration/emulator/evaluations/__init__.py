"""Test runs, saved tests, jobs of tests, and experiments."""
