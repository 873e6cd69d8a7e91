"""The keyboard and a headset's media keys."""
