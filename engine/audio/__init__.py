"""Schedules and makes all sound: queue, mixer, earcons, spatialisation, loudness."""
