"""Aria glasses: VRS recordings, live links to both generations, and a setup check."""
