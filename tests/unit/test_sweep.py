"""Unit: what a multirun leaves behind."""

import csv
import json
from pathlib import Path

from omegaconf import OmegaConf

from engine.sweep import SweepReport


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
    assert rows[3]["frames"] == ""
    assert (tmp_path / "sweep.png").stat().st_size > 5000


def test_nothing_ran_nothing_is_written(tmp_path: Path) -> None:
    SweepReport().on_multirun_end(OmegaConf.create({"hydra": {"sweep": {"dir": str(tmp_path)}}}))
    assert not list(tmp_path.iterdir())
