"""Aria glasses: VRS recordings, live links of both generations, their doctor."""
