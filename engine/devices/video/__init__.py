"""Sources of frames: photos, videos, webcams, datasets and the sample."""
