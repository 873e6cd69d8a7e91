"""What a multirun leaves behind: `sweep.csv`, one row a job, and a plot against both budgets.

A Hydra callback; it reads the jobs' own files and knows nothing of the engine.
"""

import csv
import json
import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf

BUDGETS_MS = {"quick": 420.0, "full": 752.0}


class SweepReport(Callback):  # type: ignore[misc]  # Hydra's base class is untyped
    """Writes the report when all jobs have ended, failed ones included."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        rows = [read_job(job) for job in sorted(job_folders(folder), key=_natural)]
        if not rows:
            return
        write_csv(rows, folder / "sweep.csv")
        plot(rows, folder / "sweep.png")
        print(f"sweep of {len(rows)} jobs: {folder / 'sweep.csv'}, {folder / 'sweep.png'}")


def job_folders(folder: Path) -> list[Path]:
    """The folders below `folder` in which Hydra ran a job."""
    return [path.parent.parent for path in folder.glob("*/.hydra/overrides.yaml")]


def read_job(job: Path) -> dict[str, Any]:
    """A job's overrides and figures as one flat row; `status` is `failed` without a summary."""
    overrides = [str(item) for item in OmegaConf.load(job / ".hydra" / "overrides.yaml")]
    row: dict[str, Any] = {"job": job.name, "status": "failed"}
    for item in overrides:
        key, _, value = item.lstrip("+").partition("=")
        row[key] = value
    try:
        summary = json.loads((job / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        print(f"scene-aria: job {job.name}: no summary; it failed", file=sys.stderr)
        return row
    row["status"] = "ok"
    for key in ("descriptions", "escalation_rate", "obstacle_fps", "peak_memory_mb", "errors"):
        row[key] = summary.get(key)
    row["frames"] = summary["frames"]["processed"]
    for tier in BUDGETS_MS:
        total = summary["latency_ms"].get(tier, {}).get("end_to_end", {})
        for figure in ("p50", "p95"):
            row[f"{tier}_{figure}_ms"] = total.get(figure)
    quality = summary.get("quality", {})
    return row | {name: value for name, value in quality.items() if isinstance(value, float)}


def write_csv(rows: list[dict[str, Any]], path: Path) -> None:
    """Every column that any row has, in the order of first appearance."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def swept_key(rows: list[dict[str, Any]]) -> str | None:
    """The numeric override that differs between jobs; the router's threshold before any other."""
    swept = [
        key
        for key in _override_names(rows)
        if len({row.get(key) for row in rows}) > 1
        and all(_number(row.get(key)) is not None for row in rows)
    ]
    return "router.threshold" if "router.threshold" in swept else next(iter(swept), None)


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Share escalated and latency to the first sound over the swept key (or the job's number)."""
    key = swept_key(rows)
    good = [row for row in rows if row["status"] == "ok"]
    places = [_number(row[key]) if key else float(index) for index, row in enumerate(good)]
    figure = Figure(figsize=(7, 6), layout="constrained")
    share, latency = figure.subplots(2, 1, sharex=True)
    share.plot(places, [row["escalation_rate"] for row in good], "o-", color="tab:purple")
    share.set_ylabel("share escalated")
    share.set_ylim(-0.05, 1.05)
    for tier, colour in (("quick", "tab:green"), ("full", "tab:blue")):
        points = [(x, row[f"{tier}_p95_ms"]) for x, row in zip(places, good, strict=True)]
        points = [(x, y) for x, y in points if y is not None]
        if points:
            latency.plot(*zip(*points, strict=True), "o-", color=colour, label=f"{tier}, p95")
        budget = BUDGETS_MS[tier]
        latency.axhline(budget, ls="--", color=colour, label=f"{tier} budget {budget:.0f} ms")
    latency.set_ylabel("asking to first sound, ms")
    latency.set_xlabel(key or "job")
    latency.legend()
    figure.savefig(path, dpi=120)


def _override_names(rows: list[dict[str, Any]]) -> list[str]:
    """Columns that came from the command line: those before the first figure."""
    names = list(rows[0])
    end = names.index("descriptions") if "descriptions" in names else len(names)
    return names[2:end]


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _natural(job: Path) -> tuple[int, str]:
    return (int(job.name) if job.name.isdigit() else sys.maxsize, job.name)
