"""A request in, a spoken answer out."""
