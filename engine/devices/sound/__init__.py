"""Voices, sinks, microphones, wake words and the recogniser."""
