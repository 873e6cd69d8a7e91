"""Runs code in a process in which no training framework can be imported, as after a light
install."""

import os
import subprocess
import sys

from tests.fakes.command import ROOT

FRAMEWORKS = ("torch", "torchvision", "transformers", "timm", "ultralytics", "safetensors")


def without_frameworks(code: str, **environment: str) -> str:
    """What `code` prints. Raises AssertionError, with its errors, if it fails."""
    blocked = f"import sys\nsys.modules.update(dict.fromkeys({FRAMEWORKS}))\n"
    done = subprocess.run(
        [sys.executable, "-c", blocked + code],
        cwd=ROOT,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
