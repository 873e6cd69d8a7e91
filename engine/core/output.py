"""Prints to the end: a command whose output is closed, or goes to a full disk, ends in order."""

import contextlib
import errno
import os
import sys
from collections.abc import Callable


def to_the_end(work: Callable[[], int]) -> int:
    """Do the work and flush what it printed; return its status. A closed pipe (`| head`) is no
    error; a disk that is full is one, with a line and status 1. Raises other errors."""
    try:
        status = work()
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        return 0
    except OSError as error:
        if error.filename is not None or error.errno != errno.ENOSPC:
            raise
        _discard_output()
        line = f"standard output: expected to write to it, got {error.strerror}; send it elsewhere"
        with contextlib.suppress(OSError):
            print(f"scene-aria: {line}", file=sys.stderr)
        return 1
    return status


def _discard_output() -> None:
    """Let the interpreter's own flush at the end write nowhere."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
