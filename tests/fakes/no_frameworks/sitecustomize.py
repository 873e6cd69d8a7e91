"""In PYTHONPATH, makes every import of a training framework raise."""

import sys

sys.modules |= dict.fromkeys(("torch", "torchvision", "ultralytics", "timm", "transformers"))  # type: ignore[arg-type]
