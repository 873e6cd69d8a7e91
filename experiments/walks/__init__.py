"""Synthetic walks with a known truth, to measure distances, times and alerts; and the walk report."""
