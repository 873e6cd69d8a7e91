"""Unit: what a multirun leaves behind."""

import csv
import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from engine.sweep import SweepReport, mean_latency_ms


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


def test_one_row_a_job_and_a_plot(tmp_path: Path) -> None:
    for number, threshold in enumerate((0.2, 0.4, 0.6)):
        job(tmp_path, number, threshold)
    job(tmp_path, 10, 0.8, failed=True)
    config = OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}})
    SweepReport().on_multirun_end(config)
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


def test_nothing_ran_nothing_is_written(tmp_path: Path) -> None:
    SweepReport().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}}))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("summary", ["", "[]", "null", "{}", '{"frames": {"processed": 3}}'])
def test_a_summary_that_is_not_whole_is_a_failed_row(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], summary: str
) -> None:
    job(tmp_path, 0, 0.2)
    job(tmp_path, 1, 0.4, failed=True)
    (tmp_path / "1" / "summary.json").write_text(summary)
    SweepReport().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}}))
    with (tmp_path / "sweep.csv").open() as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["ok", "failed"]
    assert "job 1" in capsys.readouterr().err


@pytest.mark.parametrize("quality", [{}, {"object_recall": 0.5}, {"caption_cider": 0.9}])
def test_jobs_that_said_nothing_are_drawn_too(tmp_path: Path, quality: dict[str, float]) -> None:
    for number in range(2):
        job(tmp_path, number, 0.2 + number)
    path = tmp_path / "1" / "summary.json"
    silent = {"escalation_rate": None, "latency_ms": {}, "quality": quality}
    path.write_text(json.dumps(json.loads(path.read_text()) | silent))
    SweepReport().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}}))
    assert (tmp_path / "sweep.png").stat().st_size > 5000


@pytest.mark.parametrize(
    ("quick", "full", "share", "mean"),
    [(100, 500, 0.25, 200), (100, None, 0.0, 100), (None, 500, 1.0, 500), (None, None, None, None)],
)
def test_the_mean_is_over_all_answers(
    quick: float | None, full: float | None, share: float | None, mean: float | None
) -> None:
    row = {"quick_mean_ms": quick, "full_mean_ms": full, "escalation_rate": share}
    assert mean_latency_ms(row) == mean
