"""The latency experiment over the tiny pack: it runs and its parts add up. The figures of a machine
that runs tests mean nothing."""

import json

import pytest

from experiments.latency import obstacles

pytestmark = pytest.mark.weights

STAGES = ("wait_ms", "detect_ms", "locate_ms", "queue_ms", "sink_ms")


def test_it_ends_in_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--alerts", "1", "--warm-ups", "0", "--repeats", "1", "--frames", "10"]
    assert obstacles.main([*options, "--device", "cpu"]) == 0
    *shown, last = capsys.readouterr().out.splitlines()
    result = json.loads(last)
    assert result["alerts"] == [1, 1]
    assert result["unheard"] == [0, 0]
    assert result["descriptions"] >= 1
    for key in ("fps", "p50_ms", "p99_ms", "p99_under_describer_ms", "predict_fps", "floor_ms"):
        assert result[key] > 0
    assert isinstance(result["engine_cost_ms"], float)
    assert sum(result[f"mean_{stage}"] for stage in STAGES) == pytest.approx(
        result["p50_ms"], abs=0.01
    )
    text = " ".join(" ".join(shown).split())
    for part in ("cores", "floor of the latency", "under a describer", "the engine's own cost"):
        assert part in text


def test_a_pack_that_is_not_here_ends_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert obstacles.main(["--pack", "hub"]) == 2
    error = capsys.readouterr().err
    assert "models pull" in error
    assert len(error.strip().splitlines()) == 1
