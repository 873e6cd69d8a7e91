"""Input devices: the keyboard and a headset's media keys."""
