"""Adapters to the outside world: one SDK, one file, imported only when it is used."""
