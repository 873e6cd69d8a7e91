"""Trains and evaluates the pocket pack: detector, scene classifier and describer."""
