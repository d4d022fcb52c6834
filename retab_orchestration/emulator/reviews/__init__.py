"""Human reviews: the gates where runs wait, and the decisions on the routes of each generation."""
