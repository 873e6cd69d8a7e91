"""The session log, its summary, and the queue of the view."""
