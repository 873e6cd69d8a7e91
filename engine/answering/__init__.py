"""Turns a request into a spoken answer."""
