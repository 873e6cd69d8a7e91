"""Collects the jobs of a multirun into `sweep.csv`, one row per job, and keeps the failures.

A Hydra callback. It reads the files of the jobs, since they may have run in other processes or on
other machines, and knows nothing of the engine.
"""

import contextlib
import csv
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from engine.core.budgets import ANSWER_MS
from engine.core.file_parts import parts_of
from engine.recording.latency import spread

FAILURE = "failure.json"


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed job: its overrides, one line, and the exit status that it would have had as a single
    run."""

    overrides: str
    line: str
    status: int


failures: list[Failure] = []  # of this process's single run, or of all jobs of its multirun
unkept: list[Failure] = []  # of those, what could not be written into its job's folder


def keep_failure(failure: Failure, folder: Path) -> None:
    """Write a failure into the job's folder, where the process that started the sweep finds it."""
    try:
        (folder / FAILURE).write_text(json.dumps(asdict(failure)) + "\n", encoding="utf-8")
    except OSError:  # a full disk
        forget_failure(folder)
        unkept.append(failure)


def forget_failure(folder: Path) -> None:
    """Remove the failure of an earlier start in this folder, which recorded no session."""
    with contextlib.suppress(OSError):
        (folder / FAILURE).unlink()


class SweepReport(Callback):  # type: ignore[misc]  # Hydra's base class is untyped
    """Writes the report when all jobs have ended, including failed ones."""

    def on_multirun_end(self, config: DictConfig, **_: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        jobs = sorted(job_folders(folder), key=_natural)
        failures[:] = [failure for job in jobs if (failure := failure_of(job)) is not None] + unkept
        rows = [read_job(job) for job in jobs]
        if not rows:
            return
        # Hydra creates this callback at every start; matplotlib is only needed here.
        from engine.evaluation.sweep_report import write_report

        write_csv(rows, folder / "sweep.csv")
        written = ["sweep.csv", *write_report(rows, folder)]
        print(f"sweep of {len(rows)} jobs, {len(failures)} failed: {folder}: {', '.join(written)}")


def job_folders(folder: Path) -> list[Path]:
    """The folders below `folder` in which Hydra ran a job."""
    return [path.parent.parent for path in folder.glob("*/.hydra/overrides.yaml")]


def failure_of(job: Path) -> Failure | None:
    """Why a job failed; None if it did not."""
    try:
        return Failure(**json.loads((job / FAILURE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        pass
    except (OSError, ValueError, TypeError) as error:
        return Failure(",".join(_overrides(job)), f"{job / FAILURE}: {error}", 1)
    try:
        figures_of(_summary(job))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Failure(",".join(_overrides(job)), f"job {job.name} left no summary in {job}", 1)
    return None


def read_job(job: Path) -> dict[str, Any]:
    """A job's overrides and figures as one flat row. Its `status` is `ok` or `failed`."""
    row: dict[str, Any] = {"job": job.name, "status": "failed"}
    for item in _overrides(job):
        key, _, value = item.lstrip("+").partition("=")
        row[key] = value
    try:
        found = figures_of(_summary(job)) | all_answers(job)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return row
    return row | {"status": "failed" if (job / FAILURE).exists() else "ok"} | found


def figures_of(summary: dict[str, Any]) -> dict[str, Any]:
    """The figures that a sweep compares. Raises KeyError or TypeError for an incomplete summary."""
    row: dict[str, Any] = {}
    for key in ("descriptions", "escalation_rate", "obstacle_fps", "peak_memory_mb", "errors"):
        row[key] = summary.get(key)
    row["frames"] = summary["frames"]["processed"]
    row |= {what: summary["utterances"][what] for what in ("spoken", "dropped")}
    for tier in ANSWER_MS:
        total = summary["latency_ms"].get(tier, {}).get("end_to_end", {})
        for figure in ("mean", "p50", "p95"):
            row[f"{tier}_{figure}_ms"] = total.get(figure)
    quality = summary.get("quality", {})
    return row | {name: value for name, value in quality.items() if isinstance(value, float)}


def all_answers(job: Path) -> dict[str, float]:
    """Latency to the first sound over all answers of both tiers; {} if none was heard."""
    try:
        lines = [
            line
            for part in parts_of(job / "session.jsonl")
            for line in part.read_text(encoding="utf-8").splitlines()
        ]
    except OSError:
        return {}
    totals = [
        record["latency_ms"]["end_to_end"]
        for line in lines
        if (record := json.loads(line))["type"] == "description"
    ]
    heard = [total for total in totals if total is not None]
    return (
        {f"{k}_ms": v for k, v in spread(heard).items() if k in ("mean", "p50", "p95")}
        if heard
        else {}
    )


def write_csv(rows: list[dict[str, Any]], path: Path) -> None:
    """Every column that any row has, in the order of first appearance."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)


def _summary(job: Path) -> Any:
    return json.loads((job / "summary.json").read_text(encoding="utf-8"))


def _overrides(job: Path) -> list[str]:
    return [str(item) for item in OmegaConf.load(job / ".hydra" / "overrides.yaml")]


def _natural(job: Path) -> tuple[int, str]:
    return (int(job.name) if job.name.isdigit() else sys.maxsize, job.name)
