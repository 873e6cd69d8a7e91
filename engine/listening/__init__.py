"""Detects the wake word and spoken commands in sound."""
