"""The shipped HRTF table is made from the measurements that slab ships."""

import sys

import numpy as np
import pytest

from engine.audio.hrtf import FILE
from experiments.quality.hrtf import table


def test_the_table_is_reproducible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", sys.modules.get("sounddevice"))
    monkeypatch.delitem(sys.modules, "sounddevice")  # restored after the test
    made = table()
    with np.load(FILE) as stored:
        assert set(stored.files) == set(made)
        for name, values in made.items():
            assert np.allclose(stored[name], values, atol=1e-6)
