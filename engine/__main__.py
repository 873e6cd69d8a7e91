"""`python -m engine`: read the arguments, run, and end with a status.

Exit status: 0 done, 1 a failure while running, 2 a configuration or input error, 130 interrupted.
Imports Hydra and the engine only when they are needed: `--help` and a wrong option are answered at
once, and with `--supervised` the parent process stays small.
"""

import errno
import io
import os
import sys
from typing import NoReturn

from engine.app.leaving import INTERRUPTED, handle_signals, leave, tell
from engine.core.output import to_the_end

SUPERVISED = "--supervised"


def fail(line: str, status: int) -> NoReturn:
    tell(f"scene-aria: {line}")
    sys.exit(status)


def report_failures() -> None:
    """Print one line for each failed job; exit with 1 if any failed while running, else with 2."""
    from engine.evaluation.sweep import failures

    if not failures:
        return
    sweep = len(failures) > 1 or "-m" in sys.argv or "--multirun" in sys.argv
    lines = [f"job {item.overrides}: {item.line}" if sweep else item.line for item in failures]
    for line in lines[:-1]:
        tell(f"scene-aria: {line}")
    fail(lines[-1], min(item.status for item in failures))


def start() -> int:
    """Do what the arguments ask for: print the help, or run Hydra's jobs. Return 0."""
    from engine.app.command_line import asks_for_help, read_arguments

    arguments = sys.argv[1:]
    if asks_for_help(arguments):
        from engine.app.settings_help import help_text

        print(help_text())
        return 0
    spelled = read_arguments(arguments)
    if spelled.line:
        print(spelled.line)
    sys.argv[1:] = spelled.arguments
    from engine.app.job import job

    try:
        job()
    except OSError as error:
        if error.errno == errno.ENOSPC and error.filename is None:  # Hydra's own files
            error.filename = "a full disk"
        raise
    report_failures()
    return 0


def run() -> None:
    """Do what the arguments ask for, and end with the right status."""
    os.umask(0o077)  # what a session writes is for its owner alone
    # Hydra then raises errors instead of printing its own traceback; each becomes one line here.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage statistics
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for ASCII terminals
    handle_signals()
    try:
        if status := to_the_end(start):
            sys.exit(status)
    except KeyboardInterrupt:
        fail("interrupted; what was recorded is kept", INTERRUPTED)
    except Exception as error:
        if isinstance(error, OSError) and type(error).__module__ == "builtins":
            # Hydra, some of whose errors are OSErrors too, makes the output folder before the job.
            where = f" {error.filename}" if error.filename else ""
            fail(
                f"hydra.run.dir: expected a folder that can be written, got{where} "
                f"({error.strerror}); choose another with hydra.run.dir=DIR",
                2,
            )
        from engine.app.command_line import error_line

        fail(error_line(error), 2)  # what Hydra raises while it composes


def main() -> None:
    if SUPERVISED in sys.argv[1:]:
        from engine.app.supervisor import supervise

        sys.exit(supervise([word for word in sys.argv[1:] if word != SUPERVISED]))
    try:
        run()
    except SystemExit as end:
        leave(end.code if isinstance(end.code, int) else 0)
        raise
    leave(0)


if __name__ == "__main__":
    main()
