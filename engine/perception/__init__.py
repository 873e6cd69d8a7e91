"""Turns a frame into a glance: localisation, camera model, head pose, camera health."""
