"""Workflows: those that there are, users' own from a file, their graphs, versions, and changing them."""
