"""The head that the engine ships is the head that slab ships."""

import sys

import numpy as np
import pytest

from engine.audio.hrtf import FILE
from experiments.quality.hrtf import table


def test_the_table_is_made_from_slabs_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", sys.modules.get("sounddevice"))
    monkeypatch.delitem(sys.modules, "sounddevice")  # and as it was again afterwards
    made = table()
    with np.load(FILE) as stored:
        assert set(stored.files) == set(made)
        for name, values in made.items():
            assert np.allclose(stored[name], values, atol=1e-6)
