"""Turns settings into objects, subsystem by subsystem. Only these modules choose classes."""
