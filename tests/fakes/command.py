"""Runs the real command as a user would, and reads what it wrote."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from engine.devices.video.sample import sample_photo

ROOT = Path(__file__).parents[2]


def engine(
    *overrides: str,
    module: str = "engine",
    env: dict[str, str] | None = None,
    root: Path = ROOT,
) -> subprocess.CompletedProcess[str]:
    """Run the command of the repository at `root` as a user would, hubs off, no terminal."""
    return subprocess.run(
        [sys.executable, "-m", module, *overrides],
        cwd=root,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "COLUMNS": "120"} | (env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def session(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "session.jsonl").read_text().splitlines()]


def describe(
    tmp_path: Path, *overrides: str, env: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """Describe the street photo once, deterministically and without loading the reader; return the
    session's records."""
    done = engine(
        "source=image", f"source.path={sample_photo()}", "source.realtime=false", "trigger=once",
        "speech=wav", "answer.signs=false", f"hydra.run.dir={tmp_path}", *overrides,
        env=env,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return session(tmp_path)


def one(records: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The only record of its type."""
    (record,) = [r for r in records if r["type"] == kind]
    return record
