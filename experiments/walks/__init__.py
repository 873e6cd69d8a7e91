"""Synthetic walks with known geometry: how far off are places and times, and are warnings in time?"""
