"""One scheduler of all sound: queue, mixer, earcons, spatialisation, loudness."""
