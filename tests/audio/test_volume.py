"""The wearer's volume: step size, limits, no clicks, no clipping."""

import numpy as np
import pytest

from engine.audio.loudness import CEILING
from engine.audio.scheduler import LOUDEST_DB, SOFTEST_DB, VOLUME_STEP_DB
from tests.fakes.stage import BLOCK, LEVEL, Stage, clause

HEARD = LEVEL / np.sqrt(2)  # in each ear, for a centred sound
LONG = "one two three four five six seven eight nine ten"


def played(*steps: int) -> np.ndarray:
    """0.2 s of speech, then 0.2 s more after each step."""
    stage = Stage()
    stage.audio.say(clause(1, text=LONG))
    stage.to(0.2)
    for number, step in enumerate(steps, 2):
        stage.audio.change_volume(step)
        stage.to(0.2 * number)
    return stage.sink.tape[:, 0]


def test_a_step_has_its_size_in_decibels() -> None:
    tape = played(-1)
    before, after = np.abs(tape[:BLOCK]).max(), np.abs(tape[-BLOCK:]).max()
    assert before == pytest.approx(HEARD, rel=0.01)
    assert 20 * np.log10(before / after) == pytest.approx(VOLUME_STEP_DB, abs=0.1)


def test_it_changes_gradually_within_a_block() -> None:
    tape = np.abs(played(-1))
    changing = tape[10 * BLOCK : 11 * BLOCK]
    assert np.all(np.diff(changing[changing > 0]) <= 1e-6)  # down, sample by sample
    assert changing[0] > 0.99 * HEARD


def test_nothing_clips_at_any_volume() -> None:
    tape = played(*([1] * 8))
    assert np.abs(tape).max() <= CEILING + 1e-6


@pytest.mark.parametrize(("step", "bound_db"), [(1, LOUDEST_DB), (-1, SOFTEST_DB)])
def test_it_has_limits_and_reports_them(step: int, bound_db: float) -> None:
    audio = Stage().audio
    room = [audio.change_volume(step) for _ in range(12)]
    assert room == [True] * round(abs(bound_db) / VOLUME_STEP_DB) + [False] * (
        12 - round(abs(bound_db) / VOLUME_STEP_DB)
    )
    assert audio.change_volume(-step)
