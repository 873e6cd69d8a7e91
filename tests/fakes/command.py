"""Runs the engine as a user would, in its own process or in this one, and reads its files."""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from engine.app.command_line import CONF, read_config, to_hydra
from engine.app.job import run
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


def run_here(folder: Path, *overrides: str) -> str:
    """Run a session in this process, which saves seconds of imports; return what the terminal
    showed. Raises EngineError where the command would end in one line."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = read_config(compose("config", overrides=to_hydra(overrides)))
    with redirect_stdout(io.StringIO()) as shown:
        run(config, folder)
    return " ".join(shown.getvalue().split())


def session(folder: Path) -> list[dict[str, Any]]:
    """The records of the session in `folder`."""
    return [json.loads(line) for line in (folder / "session.jsonl").read_text().splitlines()]


def describe_here(folder: Path, *overrides: str) -> list[dict[str, Any]]:
    """Describe the street photo once, deterministically and without loading the text reader; return
    the session's records."""
    run_here(
        folder, "source=image", f"source.path={sample_photo()}", "source.realtime=false",
        "trigger=once", "speech=wav", "answer.signs=false", *overrides,
    )  # fmt: skip
    return session(folder)


def one(records: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """The only record of its type."""
    (record,) = [r for r in records if r["type"] == kind]
    return record
