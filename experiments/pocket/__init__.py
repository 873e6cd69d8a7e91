"""Trains the pocket pack: one command a model."""
