"""Writes a checkpoint in the forms of the runtimes, and finds them again."""
