"""Puts the rooms together: build, session, live, batch, user input, console."""
