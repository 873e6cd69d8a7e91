"""Keeps sessions apart: one engine writes to a folder, and no session is ever overwritten.

Must not know how a folder was chosen.
"""

import contextlib
import fcntl
import os
from pathlib import Path

from engine.core.errors import ConfigError

# What a session or a sweep leaves behind. A start that was refused leaves none of them.
SESSION = ("session.jsonl", "summary.json", "audio.wav", "session.rrd")
SWEEP = ("multirun.yaml", "sweep.csv")


def refuse_used(folder: Path, key: str) -> None:
    """Raise ConfigError, naming the setting `key`, if `folder` holds a session or a sweep."""
    for name in (*SESSION, *SWEEP):
        with contextlib.suppress(OSError):
            if (folder / name).stat().st_size:
                raise ConfigError(
                    f"{key}: expected a folder without a session, got {folder}, which has "
                    f"{name}; choose another with {key}=DIR, or leave it out"
                )


class FolderLock:
    """A folder that this process alone writes to, until `close` or the end of the process."""

    def __init__(self, folder: Path, key: str) -> None:
        """Create and lock `folder`. Raises ConfigError, naming the setting `key`, if another engine
        is writing to it or it holds a session; OSError if it cannot be created."""
        folder.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(folder, os.O_RDONLY)
        try:
            # A file system without locks still has the check for files.
            with contextlib.suppress(OSError):
                self._lock(folder, key)
            refuse_used(folder, key)
        except ConfigError:
            self.close()
            raise

    def _lock(self, folder: Path, key: str) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(
                f"{key}: expected a folder of its own, got {folder}, to which another engine is "
                f"writing; choose another with {key}=DIR, or leave it out"
            ) from error

    def close(self) -> None:
        os.close(self._fd)
