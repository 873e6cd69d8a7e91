"""Unit: the wearer's volume: steps, bounds, no click, no clipping."""

import numpy as np
import pytest

from engine.audio.loudness import CEILING
from engine.audio.scheduler import LOUDEST_DB, SOFTEST_DB, VOLUME_STEP_DB
from tests.fakes.stage import BLOCK, LEVEL, Stage, clause

HEARD = LEVEL / np.sqrt(2)  # in each ear, of what is in the middle of the head
LONG = "one two three four five six seven eight nine ten"


def played(*steps: int) -> np.ndarray:
    """0.2 s of speech, then after each step 0.2 s more."""
    stage = Stage()
    stage.audio.say(clause(1, text=LONG))
    stage.to(0.2)
    for number, step in enumerate(steps, 2):
        stage.audio.change_volume(step)
        stage.to(0.2 * number)
    return stage.sink.tape[:, 0]


def test_a_step_is_so_many_decibels() -> None:
    tape = played(-1)
    before, after = np.abs(tape[:BLOCK]).max(), np.abs(tape[-BLOCK:]).max()
    assert before == pytest.approx(HEARD, rel=0.01)
    assert 20 * np.log10(before / after) == pytest.approx(VOLUME_STEP_DB, abs=0.1)


def test_it_changes_within_a_block_without_a_jump() -> None:
    tape = np.abs(played(-1))
    changing = tape[10 * BLOCK : 11 * BLOCK]
    assert np.all(np.diff(changing[changing > 0]) <= 1e-6)  # down, sample by sample
    assert changing[0] > 0.99 * HEARD


def test_however_loud_nothing_clips() -> None:
    tape = played(*([1] * 8))
    assert np.abs(tape).max() <= CEILING + 1e-6


@pytest.mark.parametrize(("step", "bound_db"), [(1, LOUDEST_DB), (-1, SOFTEST_DB)])
def test_it_is_bounded_and_says_when_there_is_no_more_room(step: int, bound_db: float) -> None:
    audio = Stage().audio
    room = [audio.change_volume(step) for _ in range(12)]
    assert room == [True] * round(abs(bound_db) / VOLUME_STEP_DB) + [False] * (
        12 - round(abs(bound_db) / VOLUME_STEP_DB)
    )
    assert audio.change_volume(-step)
