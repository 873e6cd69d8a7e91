"""Turns settings into objects: one builder for each subsystem. Only these modules choose a class."""
