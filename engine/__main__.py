"""`python -m engine`: compose the configuration, check it, build, run, and end with a status.

The only Hydra entry. Exit status: 0 done, 1 a failure while running, 2 a configuration or input
error, 130 interrupted.
"""

import contextlib
import io
import math
import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from engine.app.command_line import CONF, error_line, read_config, to_hydra
from engine.app.settings_check import deprecations
from engine.app.settings_help import help_text
from engine.config import Config
from engine.core.errors import EngineError, InputError, RunError, SetupError, in_one_line
from engine.evaluation.sweep import Failure, all_answers, failures, keep_failure

if TYPE_CHECKING:
    from engine.app.console import Screen

ConfigStore.instance().store(name="schema", node=Config)
# conf/config.yaml uses it as the text of --help.
OmegaConf.register_new_resolver("settings_help", help_text, replace=True)


def run(config: Config, folder: Path, job_name: str = "") -> dict[str, Any]:
    """Run one session in `folder`; return its summary. With a `job_name`, the screen shows less.

    Raises EngineError. KeyboardInterrupt, like any error while running, is raised only after the
    summary has been written.
    """
    from engine.app.console import Screen

    with contextlib.closing(Screen(job=job_name)) as screen:
        return _run(config, folder, screen)


def _run(config: Config, folder: Path, screen: "Screen") -> dict[str, Any]:
    from engine.app.session import work

    failure: RunError | None = None
    interrupted = False
    with work(config, folder, screen) as opened:
        try:
            opened.run()
        except RunError as error:
            failure = error
        except KeyboardInterrupt:
            interrupted = True
        summary = opened.finish()
    screen.last(summary, folder, sorted(p.name for p in folder.iterdir() if p.is_file()))
    if interrupted:
        raise KeyboardInterrupt
    if failure is not None:
        if failure.__cause__ is not None and not isinstance(failure.__cause__, EngineError):
            keep_traceback(failure, folder)
        raise RunError(f"{failure}; the log is {folder / 'session.jsonl'}") from failure
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
        for line in deprecations(config):
            print(f"scene-aria: {line}", file=sys.stderr)
        summary = run(config, folder, f"job {hydra_config.job.num}" if sweeps else "")
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


def fail(line: str, status: int) -> NoReturn:
    print(f"scene-aria: {line}", file=sys.stderr)
    sys.exit(status)


def report_failures() -> NoReturn:
    """Print one line for each failed job; exit with 1 if any failed while running, else with 2."""
    sweep = len(failures) > 1 or "-m" in sys.argv or "--multirun" in sys.argv
    lines = [f"job {item.overrides}: {item.line}" if sweep else item.line for item in failures]
    for line in lines[:-1]:
        print(f"scene-aria: {line}", file=sys.stderr)
    fail(lines[-1], min(item.status for item in failures))


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    # Hydra then raises errors instead of printing its own traceback; each becomes one line here.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage statistics
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for ASCII terminals
    # SIGINT too: a shell starts background processes with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    try:
        sys.argv[1:] = to_hydra(sys.argv[1:])
        job()
        if failures:
            report_failures()
    except KeyboardInterrupt:
        fail("interrupted; what was recorded is kept", 130)
    except HydraException as error:  # some are OSErrors too
        fail(error_line(error), 2)
    except OSError as error:
        # Hydra makes the output folder before the job begins.
        where = f" {error.filename}" if error.filename else ""
        fail(
            f"hydra.run.dir: expected a folder that can be written, got{where} ({error.strerror}); "
            "choose another with hydra.run.dir=DIR",
            2,
        )
    except Exception as error:  # anything else that Hydra raises while it composes
        fail(error_line(error), 2)


if __name__ == "__main__":
    main()
