"""Requests and responses: the server, the routes, pages of lists, faults, and the HTML page."""
