"""End to end: the latency experiment over the tiny pack. That it runs and adds up; figures of a
machine under test mean nothing."""

import json

import pytest

from tests.fakes.command import engine

NAMES = ("wait_ms", "detect_ms", "locate_ms", "queue_ms", "sink_ms")


def test_it_ends_in_one_line_of_json() -> None:
    done = engine(
        "--alerts", "1", "--repeats", "1", "--frames", "10", "--device", "cpu",
        module="experiments.latency.obstacles",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *shown, last = done.stdout.splitlines()
    result = json.loads(last)
    assert result["alerts"] == [1, 1]
    assert result["unheard"] == [0, 0]
    assert result["descriptions"] >= 1
    for key in ("fps", "p50_ms", "p99_ms", "p99_under_describer_ms", "predict_fps", "floor_ms"):
        assert result[key] > 0
    assert isinstance(result["engine_cost_ms"], float)
    assert sum(result[f"mean_{name}"] for name in NAMES) == pytest.approx(
        result["p50_ms"], abs=0.01
    )
    text = " ".join(" ".join(shown).split())
    for part in ("cores", "floor of the latency", "under a describer", "the engine's own cost"):
        assert part in text


def test_a_pack_that_is_not_here_ends_in_one_line() -> None:
    done = engine("--pack", "hub", module="experiments.latency.obstacles")
    assert done.returncode == 2
    assert "models pull" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
