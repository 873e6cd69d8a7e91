"""Keeps what the wearer has set, and the last answer, for the next start.

A session that crashed, or whose battery died, starts again as the wearer left it: volume, rate of
speech, level of detail, language, and what "repeat" says. Live sources only: a file or a dataset
must give the same result every time. What is typed now counts more than what was kept.
"""

import contextlib
import json
import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from engine.app.settings_check import check
from engine.config import Config
from engine.core.clock import MonotonicClock
from engine.core.errors import ConfigError
from engine.core.files import write_whole
from engine.core.outlet import Outlet

STORED = {"sample", "image", "folder", "video", "vrs", "dataset", "recorded"}  # not live
KEPT = ("language", "speech.rate_wpm", "answer.detail")
MAX_ANSWER = 4000  # characters
MAX_BYTES = 64 * 1024  # of the file
CLOSE_S = 1.0


@dataclass(frozen=True)
class Kept:
    """What is kept. `settings`: dotted key → value; `answer`: the texts of the last answer."""

    volume_db: float = 0.0
    settings: Mapping[str, Any] | None = None
    answer: tuple[str, ...] = ()


def state_file() -> Path:
    """The file: XDG_STATE_HOME, else ~/.local/state."""
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(home) / "scene-aria/wearer.json"


def read_kept(path: Path) -> Kept:
    """What an earlier session kept; nothing if there is no such file or it is damaged."""
    try:
        with path.open("rb") as file:
            raw = json.loads(file.read(MAX_BYTES))
        answer = tuple(str(text)[:MAX_ANSWER] for text in raw.get("answer", ()))
        volume_db = float(raw["volume_db"])
        if not math.isfinite(volume_db):
            return Kept()
        return Kept(volume_db, dict(raw.get("settings") or {}), answer)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Kept()


class WearerMemory:
    """Reads the file at `path`, and writes every change to it, in a thread of its own."""

    def __init__(self, path: Path) -> None:
        self.kept = read_kept(path)
        self._path = path
        self._outlet = Outlet("memory", MonotonicClock(), limit=8)

    def applied(self, config: Config, typed: Collection[str]) -> tuple[Config, list[str]]:
        """`config` with the kept settings that were neither typed nor set by a file, and those as
        KEY=VALUE. A kept value that is no longer allowed is left out."""
        applied = []
        for key in KEPT:
            value = (self.kept.settings or {}).get(key)
            current = _get(config, key)
            free = key not in typed and current == _get(Config(), key)
            if not free or value == current or not isinstance(value, type(current)):
                continue
            with contextlib.suppress(ConfigError):
                config = check(_with(config, key, value))
                applied.append(f"{key}={value}")
        self._keep(settings={key: _get(config, key) for key in KEPT})
        return config, applied

    def keep_volume(self, volume_db: float) -> None:
        self._keep(volume_db=volume_db)

    def keep_answer(self, texts: Sequence[str]) -> None:
        self._keep(answer=tuple(texts))

    def close(self) -> None:
        self._outlet.close(CLOSE_S)

    def _keep(self, **changes: Any) -> None:
        self.kept = replace(self.kept, **changes)
        self._outlet.put(partial(_write, self._path, asdict(self.kept)))


def typed_keys(overrides: Sequence[str]) -> set[str]:
    """The keys of KEY=VALUE arguments."""
    return {override.partition("=")[0].lstrip("+~") for override in overrides}


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """Replace the file."""
    text = json.dumps(content, ensure_ascii=False)
    with contextlib.suppress(OSError):  # a full disk costs no more than what would be kept
        write_whole(path, [text.encode("utf-8", "backslashreplace")])


def _get(config: Config, key: str) -> Any:
    found: Any = config
    for name in key.split("."):
        found = getattr(found, name)
    return found


def _with(config: Config, key: str, value: Any) -> Config:
    group, _, name = key.rpartition(".")
    inner: dict[str, Any] = {name: value}
    if group:
        inner = {group: replace(getattr(config, group), **inner)}
    return replace(config, **inner)
