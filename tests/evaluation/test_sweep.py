"""The files that a multirun leaves behind."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from engine.evaluation.sweep import Failure, SweepReport, failures, keep_failure
from engine.evaluation.sweep_report import best_under, pareto


def job(folder: Path, number: int, threshold: float, *, failed: bool = False) -> None:
    (folder / str(number) / ".hydra").mkdir(parents=True)
    overrides = ["mode=auto", f"router.threshold={threshold}"]
    OmegaConf.save(overrides, folder / str(number) / ".hydra" / "overrides.yaml")
    if failed:
        return
    total = {"n": 4, "mean": 60.0, "p50": 50.0, "p95": 90.0 + number, "max": 100.0}
    summary = {
        "frames": {"seen": 9, "processed": 9, "dropped": 0},
        "obstacle_fps": 15.0,
        "latency_ms": {"quick": {"end_to_end": total}},
        "descriptions": 4,
        "escalation_rate": 1 - threshold,
        "peak_memory_mb": 900.0,
        "errors": 0,
        "utterances": {"spoken": 7, "dropped": 2},
        "quality": {"labels": ["person"], "map50": 0.4},
    }
    (folder / str(number) / "summary.json").write_text(json.dumps(summary))


def report(folder: Path) -> None:
    SweepReport().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(folder)}}}))


def test_every_job_has_a_row_and_there_is_a_plot(tmp_path: Path) -> None:
    for number, threshold in enumerate((0.2, 0.4, 0.6)):
        job(tmp_path, number, threshold)
    job(tmp_path, 10, 0.8, failed=True)
    report(tmp_path)
    with (tmp_path / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["job"] for row in rows] == ["0", "1", "2", "10"]
    assert [row["status"] for row in rows] == ["ok", "ok", "ok", "failed"]
    assert rows[1]["router.threshold"] == "0.4"
    assert float(rows[2]["escalation_rate"]) == 0.4
    assert float(rows[2]["quick_p95_ms"]) == 92.0
    assert rows[0]["map50"] == "0.4"
    assert [rows[0][name] for name in ("quick_mean_ms", "spoken", "dropped")] == ["60.0", "7", "2"]
    assert rows[3]["frames"] == ""
    assert (tmp_path / "sweep.png").stat().st_size > 5000


def test_without_jobs_nothing_is_written(tmp_path: Path) -> None:
    report(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("summary", ["", "[]", "null", "{}", '{"frames": {"processed": 3}}'])
def test_a_job_with_an_incomplete_summary_has_failed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], summary: str
) -> None:
    job(tmp_path, 0, 0.2)
    job(tmp_path, 1, 0.4, failed=True)
    (tmp_path / "1" / "summary.json").write_text(summary)
    report(tmp_path)
    with (tmp_path / "sweep.csv").open() as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["ok", "failed"]
    (failure,) = failures
    assert failure.status == 1
    assert failure.line.startswith("job 1 left no summary")
    assert "1 failed" in capsys.readouterr().out


@pytest.mark.parametrize("quality", [{}, {"object_recall": 0.5}, {"caption_cider": 0.9}])
def test_jobs_without_answers_are_plotted_too(tmp_path: Path, quality: dict[str, float]) -> None:
    for number in range(2):
        job(tmp_path, number, 0.2 + number)
    path = tmp_path / "1" / "summary.json"
    silent = {"escalation_rate": None, "latency_ms": {}, "quality": quality}
    path.write_text(json.dumps(json.loads(path.read_text()) | silent))
    report(tmp_path)
    assert (tmp_path / "sweep.png").stat().st_size > 5000


def test_the_reasons_of_failures_are_read_from_the_job_folders(tmp_path: Path) -> None:
    job(tmp_path, 0, 0.2)
    job(tmp_path, 1, 7.0, failed=True)
    failure = Failure("router.threshold=7.0", "router.threshold: expected 0.0 to 1.0, got 7.0", 2)
    keep_failure(failure, tmp_path / "1")
    report(tmp_path)
    assert failures == [failure]
    text = (tmp_path / "README.md").read_text()
    assert "2 jobs, 1 failed" in text
    assert "failed: job 1: mode=auto, router.threshold=7.0" in text


def test_a_sweep_whose_jobs_all_failed_is_reported(tmp_path: Path) -> None:
    job(tmp_path, 0, 7.0, failed=True)
    job(tmp_path, 1, 8.0, failed=True)
    report(tmp_path)
    assert "2 jobs, 2 failed" in (tmp_path / "README.md").read_text()
    assert (tmp_path / "sweep.png").exists()


def answered(folder: Path, milliseconds: list[float]) -> None:
    """Write a session whose descriptions took this long to be heard."""
    lines = [
        json.dumps({"type": "description", "latency_ms": {"end_to_end": value}})
        for value in milliseconds
    ]
    (folder / "session.jsonl").write_text("\n".join(lines))


def test_the_best_under_each_budget_is_named(tmp_path: Path) -> None:
    qualities = {
        0: (0.5, 100.0),
        1: (0.7, 400.0),
        2: (0.8, 700.0),
        3: (0.9, 800.0),
        4: (0.6, 410.0),
    }
    for number, (quality, cost_ms) in qualities.items():
        job(tmp_path, number, number / 10)
        path = tmp_path / str(number) / "summary.json"
        summary = json.loads(path.read_text()) | {"quality": {"answer_quality": quality}}
        path.write_text(json.dumps(summary))
        answered(tmp_path / str(number), [cost_ms, cost_ms])
    report(tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "quick budget of 420 ms: **router.threshold=0.1 " in text
    assert "full budget of 752 ms: **router.threshold=0.2 " in text
    assert (tmp_path / "pareto.png").stat().st_size > 5000
    front = text[text.index("Pareto front") :]
    assert "job 3" in front
    assert "job 4" not in front  # slower than job 1 and worse


def test_a_budget_that_no_job_meets_is_reported(tmp_path: Path) -> None:
    job(tmp_path, 0, 0.1)
    path = tmp_path / "0" / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quality": {"answer_quality": 0.5}}))
    answered(tmp_path / "0", [500.0])
    report(tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "quick budget of 420 ms: none" in text
    assert "full budget of 752 ms: **" in text


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(1, 900)), min_size=1, max_size=30))
@settings(max_examples=100, deadline=None)
def test_the_pareto_front_holds_the_unbeaten_rows(points: list[tuple[float, float]]) -> None:
    rows = [{"quality": quality, "p95_ms": cost} for quality, cost in points]
    front = pareto(rows, "quality")
    for row in rows:
        beaten = [
            other
            for other in rows
            if other["p95_ms"] <= row["p95_ms"]
            and other["quality"] >= row["quality"]
            and other != row
        ]
        assert (row in front) == (not beaten)
    best = best_under(rows, "quality", 420.0)
    within = [row["quality"] for row in rows if row["p95_ms"] <= 420.0]
    assert (best["quality"] if best else None) == max(within, default=None)
