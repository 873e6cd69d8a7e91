"""One Hydra job: compose the settings, run a session in its folder, note what failed.

The only Hydra entry. `engine.__main__` starts it and turns the failures into lines.
"""

from __future__ import annotations

import contextlib
import json
import math
import sys
import traceback
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from engine.app.command_line import CONF, error_line, read_config
from engine.app.model_notes import model_notes
from engine.app.settings_check import deprecations
from engine.config import Config
from engine.core.errors import (
    ConfigError,
    EngineError,
    InputError,
    RunError,
    SetupError,
    in_one_line,
)
from engine.evaluation.sweep import Failure, all_answers, failures, forget_failure, keep_failure
from engine.recording.session_folder import FolderLock, refuse_used

if TYPE_CHECKING:
    from engine.app.console import Screen

ConfigStore.instance().store(name="schema", node=Config)


class FolderGuard(Callback):  # type: ignore[misc]  # Hydra's base class is untyped
    """Refuses a folder that is in use, or that holds a session, before Hydra writes its own files
    there."""

    def __init__(self) -> None:
        self._lock: FolderLock | None = None

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        self._claim(config.hydra.run.dir, "hydra.run.dir")

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        self._claim(config.hydra.sweep.dir, "hydra.sweep.dir")

    def on_run_end(self, config: DictConfig, **_: Any) -> None:
        if self._lock is not None:
            self._lock.close()

    on_multirun_end = on_run_end

    def _claim(self, folder: str, key: str) -> None:
        try:
            self._lock = FolderLock(Path(folder), key)
        except ConfigError as error:
            # Hydra turns an exception of a callback into a warning, and goes on.
            print(f"scene-aria: {error}", file=sys.stderr)
            sys.exit(2)
        except OSError:
            return  # Hydra fails to make it too


def run(
    config: Config, folder: Path, job_name: str = "", typed: Collection[str] = ()
) -> dict[str, Any]:
    """Run one session in `folder`; return its summary. With a `job_name`, the screen shows less.
    The settings in `typed` count more than those kept from the last session.

    Raises EngineError. KeyboardInterrupt, like any error while running, is raised only after the
    summary has been written.
    """
    from engine.app.plain_screen import build_screen

    with contextlib.closing(build_screen(config.screen, job_name)) as screen:
        return _run(config, folder, screen, typed)


def _run(config: Config, folder: Path, screen: Screen, typed: Collection[str]) -> dict[str, Any]:
    from rich.markup import escape

    from engine.app.session import work
    from engine.recording.session_log import SUMMARY

    failure: RunError | None = None
    interrupted = False

    def show(note: str) -> None:
        screen.line(escape(f"note: {note}"))

    with model_notes(show), work(config, folder, screen, typed) as opened:
        try:
            opened.run()
        except RunError as error:
            failure = error
        except KeyboardInterrupt:
            interrupted = True
        summary = opened.finish()
    missing = opened.unwritten
    if SUMMARY in missing:
        screen.line(escape(json.dumps(summary)))
    screen.last(summary, folder, sorted(p.name for p in folder.iterdir() if p.is_file()))
    if interrupted:
        raise KeyboardInterrupt
    if failure is not None:
        if failure.__cause__ is not None and not isinstance(failure.__cause__, EngineError):
            keep_traceback(failure, folder)
        raise RunError(f"{failure}; the log is {folder / 'session.jsonl'}") from failure
    if missing:
        raise RunError(
            f"{folder}: expected room for the session's files, but these could not be written: "
            f"{', '.join(missing)}; free some space, and run it again"
        )
    return summary


def keep_traceback(error: Exception, folder: Path) -> Path:
    """Write the traceback beside the session, for developers; return its path."""
    path = folder / "traceback.txt"
    with contextlib.suppress(OSError):
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    return path


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")  # type: ignore[untyped-decorator]
def job(node: DictConfig) -> Any:
    """Run one Hydra job; return the value that a sweeper optimises.

    That is the p95 of the latency to the first sound in ms, to be minimised, or, if the sweeper has
    two directions, (answer quality in [0, 1], that p95). A failed job returns the worst values.
    Errors are noted beside the session instead of raised: Hydra would print additional lines, and
    in a multirun one failing job must not end the others.
    """
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    # Not resolved: a broken interpolation is reported by read_config below.
    overrides: Any = OmegaConf.to_container(hydra_config.overrides.task, resolve=False)
    typed = ",".join(overrides)
    directions = hydra_config.sweeper.get("direction")
    two = OmegaConf.is_list(directions) and len(directions) == 2
    sweeps = hydra_config.mode == RunMode.MULTIRUN
    quality, p95_ms = 0.0, math.inf
    try:
        config = read_config(node)
        refuse_used(folder, "hydra.sweep.subdir" if sweeps else "hydra.run.dir")
        forget_failure(folder)
        for line in deprecations(config):
            print(f"scene-aria: {line}", file=sys.stderr)
        name = f"job {hydra_config.job.num}" if sweeps else ""
        from engine.app.wearer_memory import typed_keys  # imports numpy, which a refusal need not

        summary = run(config, folder, name, typed_keys(overrides))
        quality, p95_ms = objectives(summary, folder, needs_quality=two)
    except (EngineError, OmegaConfBaseException) as error:
        status = 2 if isinstance(error, (SetupError, OmegaConfBaseException)) else 1
        note(Failure(typed, error_line(error), status), folder)
    except Exception as error:  # a bug, here or in a library, is one line too
        path = keep_traceback(error, folder)
        note(Failure(typed, f"{in_one_line(error)}; the traceback is {path}", 1), folder)
    return (quality, p95_ms) if two else p95_ms


def objectives(summary: dict[str, Any], folder: Path, needs_quality: bool) -> tuple[float, float]:
    """A session's (answer quality in [0, 1], p95 in ms over all answers).

    Raises InputError if a quality is needed and the source has no labels.
    """
    quality = summary.get("quality", {}).get("answer_quality")
    if quality is None and needs_quality:
        raise InputError(
            "hydra/sweeper: expected a source with labels to measure quality by, got none; "
            "use source=dataset or recorded, with boxes or captions"
        )
    return quality or 0.0, all_answers(folder).get("p95_ms", math.inf)


def note(failure: Failure, folder: Path) -> None:
    failures.append(failure)
    keep_failure(failure, folder)
