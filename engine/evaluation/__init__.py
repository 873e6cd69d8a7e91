"""Stored outputs, replay, scores, sweeps and their reports."""
