"""A frame in, a glance out: tracking, localisation, the camera model, head pose, camera health."""
