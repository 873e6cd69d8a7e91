"""Collection for the whole suite."""

import re
from pathlib import Path

import pytest

WEIGHTS_MODULE = re.compile(r"^pytestmark = .*\bmark\.weights\b", re.MULTILINE)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip modules marked `weights` as a whole under `-m "not weights"`, before they are imported:
    importing them would load a framework, for seconds, only to deselect their tests."""
    if "not weights" not in config.option.markexpr or collection_path.suffix != ".py":
        return None
    return bool(WEIGHTS_MODULE.search(collection_path.read_text(encoding="utf-8"))) or None
