"""`python -m engine`: compose the configuration, check it, build, run, and end with a status.

The only Hydra entry. Exit status: 0 done, 1 a failure while running, 2 a configuration or input
error, 130 interrupted.
"""

import math
import os
import re
import signal
import sys
from dataclasses import fields
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, cast

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from engine.config import Config, check
from engine.errors import ConfigError, EngineError, RunError, SetupError

ConfigStore.instance().store(name="schema", node=Config)
failures: list[tuple[str, Exception]] = []  # (the job's overrides, what went wrong)


def run(config: Config, folder: Path) -> dict[str, Any]:
    """Run one session in `folder`; return its summary. Raises EngineError; KeyboardInterrupt,
    like any error while running, only after the summary is written."""
    from engine import build
    from engine.screen import Screen

    screen = Screen()
    failure: RunError | None = None
    interrupted = False
    with build.session(config, folder, screen) as parts:
        scorer = build.build_scorer(config, parts)
        try:
            build.build_loop(config, parts, scorer).run()
        except RunError as error:
            failure = error
        except KeyboardInterrupt:
            interrupted = True
        parts.view.close()  # what it could not show is still a record of the session
        summary = parts.trace.close(
            scorer.quality() if scorer else None, build.peak_gpu_memory_mb()
        )
    screen.last(summary, folder, sorted(p.name for p in folder.iterdir() if p.is_file()))
    if interrupted:
        raise KeyboardInterrupt
    if failure is not None:
        raise RunError(f"{failure}; the log is {folder / 'session.jsonl'}") from failure
    return summary


@hydra.main(version_base="1.3", config_path="../conf", config_name="config")  # type: ignore[untyped-decorator]
def job(node: DictConfig) -> float:
    """One Hydra job; returns p95 of the latency to the first sound in ms, for sweepers to minimise
    (infinite where nothing was heard or the job failed).

    What goes wrong is kept in `failures` instead of raised: Hydra would print lines of its own, and
    in a multirun one failing job must not lose the rest.
    """
    try:
        if unknown := set(node) - {item.name for item in fields(Config)}:
            raise ConfigError(f"{unknown.pop()}: expected a configuration key; see --help")
        config = check(cast(Config, OmegaConf.to_object(node)))
        summary = run(config, Path(HydraConfig.get().runtime.output_dir))
    except (EngineError, OmegaConfBaseException) as error:
        failures.append((HydraConfig.get().job.override_dirname, error))
        return math.inf
    totals = [
        stages["end_to_end"]["p95"]
        for stages in summary["latency_ms"].values()
        if "end_to_end" in stages
    ]
    return max(totals, default=math.inf)


def one_line(error: BaseException) -> str:
    """A library's message as one readable line; what was typed and what is allowed are kept."""
    if missing := re.search(r"Could not override '([^']+)'", str(error)):
        return f"{missing[1]}: expected a configuration key, got none of that name; see --help"
    cause = None if isinstance(error, EngineError) else error.__cause__
    text = str(cause or error).strip()
    key = re.search(r"full_key: (\S+)", text)
    first = " ".join(text.split("\n    full_key:")[0].split())
    if group := re.search(r"Could not find '([^']+)/([^'/]+)'", first):
        names = sorted(
            path.stem for path in Path(__file__).parents[1].glob(f"conf/{group[1]}/*.yaml")
        )
        return f"{group[1]}: expected one of {', '.join(names)}, got {group[2]!r}"
    if value := re.search(r"Value '(.*)' of type '\w+' could not be converted to (\w+)", first):
        first = f"expected {value[2]}, got {value[1]!r}"
    return f"{key[1]}: {first}" if key else first


def fail(line: str, status: int) -> NoReturn:
    print(f"scene-aria: {line}", file=sys.stderr)
    sys.exit(status)


def report_failures() -> NoReturn:
    """One line a failed job; the exit status of the gravest (1, while running, before 2)."""
    sweep = len(failures) > 1 or "-m" in sys.argv or "--multirun" in sys.argv
    for overrides, error in failures[:-1]:
        print(f"scene-aria: job {overrides}: {one_line(error)}", file=sys.stderr)
    overrides, error = failures[-1]
    status = (
        2 if all(isinstance(e, (SetupError, OmegaConfBaseException)) for _, e in failures) else 1
    )
    fail(f"job {overrides}: {one_line(error)}" if sweep else one_line(error), status)


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> None:
    # Let errors come through whole, so that each becomes one line here and not Hydra's traceback.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    signal.signal(signal.SIGTERM, _terminate)
    try:
        job()
        if failures:
            report_failures()
    except KeyboardInterrupt:
        fail("interrupted; what was recorded is kept", 130)
    except (HydraException, OmegaConfBaseException) as error:
        fail(one_line(error), 2)
    except OSError as error:
        # Hydra makes the output folder before the job begins.
        where = f" {error.filename}" if error.filename else ""
        fail(
            f"hydra.run.dir: expected a folder that can be written, got{where} ({error.strerror}); "
            "choose another with hydra.run.dir=DIR",
            2,
        )


if __name__ == "__main__":
    main()
