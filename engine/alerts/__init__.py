"""Decides which obstacles are announced now."""
