"""What a multirun leaves behind: `sweep.csv`, one row a job, and a plot against both budgets.

A Hydra callback; it reads the jobs' own files and knows nothing of the engine.
"""

import csv
import json
import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

BUDGETS_MS = {"quick": 420.0, "full": 752.0}
MEASURES = ("caption_cider", "object_recall")  # what is plotted against latency: the first there is


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
    """A job's overrides and figures as one flat row; `status` is `failed` without a whole summary."""
    overrides = [str(item) for item in OmegaConf.load(job / ".hydra" / "overrides.yaml")]
    row: dict[str, Any] = {"job": job.name, "status": "failed"}
    for item in overrides:
        key, _, value = item.lstrip("+").partition("=")
        row[key] = value
    try:
        summary = json.loads((job / "summary.json").read_text(encoding="utf-8"))
        return row | {"status": "ok"} | figures_of(summary)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        print(f"scene-aria: job {job.name}: no summary; it failed", file=sys.stderr)
        return row


def figures_of(summary: dict[str, Any]) -> dict[str, Any]:
    """What a sweep compares, flat. Raises KeyError or TypeError where `summary` is not a whole one."""
    row: dict[str, Any] = {}
    for key in ("descriptions", "escalation_rate", "obstacle_fps", "peak_memory_mb", "errors"):
        row[key] = summary.get(key)
    row["frames"] = summary["frames"]["processed"]
    row |= {what: summary["utterances"][what] for what in ("spoken", "dropped")}
    for tier in BUDGETS_MS:
        total = summary["latency_ms"].get(tier, {}).get("end_to_end", {})
        for figure in ("mean", "p50", "p95"):
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


def mean_latency_ms(row: dict[str, Any]) -> float | None:
    """From asking to the first sound, over all answers of a job: both tiers by the share escalated."""
    quick, full, share = (row.get(k) for k in ("quick_mean_ms", "full_mean_ms", "escalation_rate"))
    if quick is None or full is None or share is None:
        return quick if full is None else full
    return float(quick * (1 - share) + full * share)


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Share escalated and latency to the first sound over the swept key (or the job's number); with
    a dataset's labels, quality over latency as well."""
    from matplotlib.figure import Figure  # here: Hydra builds this callback at every start

    key = swept_key(rows)
    good = [row for row in rows if row["status"] == "ok"]
    if key:
        good.sort(key=lambda row: _number(row[key]) or 0.0)
    places = [_number(row[key]) if key else float(index) for index, row in enumerate(good)]
    measure = next((name for name in MEASURES if any(name in row for row in good)), None)
    figure = Figure(figsize=(9, 9 if measure else 6), layout="constrained")
    share, latency, *further = figure.subplots(3 if measure else 2, 1)
    _line(share, places, [row["escalation_rate"] for row in good], "share escalated")
    share.set(ylabel="share escalated", ylim=(-0.05, 1.05), xlabel=key or "job")
    means = [mean_latency_ms(row) for row in good]
    _line(latency, places, means, "all answers, mean", color="black")
    for tier, colour in (("quick", "tab:green"), ("full", "tab:blue")):
        values = [row[f"{tier}_p95_ms"] for row in good]
        _line(latency, places, values, f"{tier}, p95", color=colour)
        budget = BUDGETS_MS[tier]
        latency.axhline(budget, ls="--", color=colour, label=f"{tier} budget {budget:.0f} ms")
    latency.set(ylabel="asking to first sound, ms", xlabel=key or "job")
    latency.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    if measure:
        _line(further[0], means, [row.get(measure) for row in good], measure)
        further[0].set(xlabel="mean, asking to first sound, ms", ylabel=measure)
    figure.savefig(path, dpi=120)


def _line(axes: Any, xs: list[Any], ys: list[Any], label: str, color: str = "tab:purple") -> None:
    """A line through the points of which both numbers are known."""
    points = [(x, y) for x, y in zip(xs, ys, strict=True) if x is not None and y is not None]
    if points:
        axes.plot(*zip(*points, strict=True), "o-", color=color, label=label)


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
