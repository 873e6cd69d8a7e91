"""The view of a session for a sighted helper."""
