"""Sources of frames: images, videos, webcams, datasets, the sample."""
