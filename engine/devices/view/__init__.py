"""The viewer for a sighted helper."""
