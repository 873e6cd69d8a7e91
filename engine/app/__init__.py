"""Builds the rooms from the settings and runs a session: live, in a batch, recorded or replayed."""
