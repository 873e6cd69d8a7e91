"""From a frame to a glance: localisation of detections, camera model, head pose, camera health."""
