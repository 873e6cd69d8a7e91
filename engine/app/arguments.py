"""What a user types, before Hydra sees it: a photo, video or folder; `ask=`; paths as they are named.

Must not know Hydra.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from engine.app.settings_check import NO_URL, URL
from engine.config import Config
from engine.core.errors import ConfigError
from engine.core.settings import PATHS, settings, typed_key

FOLDERS = ("hydra.run.dir", "hydra.sweep.dir")
DECLARED = {key: setting for key, _, setting in settings(Config())}
PATH_KEYS = {key for key, setting in DECLARED.items() if setting.placeholder in PATHS}
KNOWN = {typed_key(key, setting) for key, setting in DECLARED.items()} | {
    key.partition(".")[0] for key in DECLARED
}


@dataclass(frozen=True)
class Spelled:
    """The arguments with each short form spelled out, and the line that says so (or "")."""

    arguments: list[str]
    line: str = ""


def spell_out(arguments: list[str], positional: Iterable[str]) -> Spelled:
    """Replace a photo, video or folder among the `positional` arguments by `source.path=…`, and
    `ask=` by `trigger.ask=`. Raises ConfigError for a name that is neither."""
    left = list(positional)
    paths = [argument for argument in left if not _is_setting(argument)]
    if len(paths) > 1:
        raise ConfigError(
            f"{paths[1]}: expected one photo, video or folder, got another after {paths[0]}; "
            "put them into one folder and give that"
        )
    found, line = [], ""
    for argument in arguments:
        if argument in paths:
            stands_for = _source(argument, arguments)
            line = f"{argument} stands for {' '.join(stands_for)}"
            found += stands_for
        elif argument in left and argument.startswith("ask="):
            found.append(f"trigger.{argument}")
        else:
            found.append(argument)
    return Spelled(found, line)


def _is_setting(argument: str) -> bool:
    """Whether this is KEY=VALUE and no path. A key wins over a file of its name."""
    key, equals, _ = argument.partition("=")
    name = key.lstrip("+~")
    if equals:
        known = name in KNOWN or name.partition(".")[0] in ("hydra", "ask") or not key
        return known or not os.path.lexists(os.path.expanduser(argument))
    if argument.startswith("~") and "/" not in argument and not os.path.lexists(argument):
        return True  # Hydra's deletion of a key, which is refused later
    if name in KNOWN:
        raise ConfigError(f"{argument}: expected KEY=VALUE; see --help")
    return False


def _source(path: str, arguments: list[str]) -> list[str]:
    """The settings that `path` stands for."""
    if not path.strip():
        raise ConfigError(
            "expected a photo, video or folder, got ''; is a variable of the shell empty?"
        )
    if URL.match(path):
        raise ConfigError(f"{path}: {NO_URL}")
    if not os.path.exists(os.path.expanduser(path)):
        raise ConfigError(
            f"{path}: expected KEY=VALUE, or a photo, video or folder, got none of that name; "
            "see --help"
        )
    for argument in arguments:
        if argument.startswith("source.path="):
            raise ConfigError(f"{path}: expected one source, got {argument} too; leave one out")
    named = any(argument.startswith("source=") for argument in arguments)
    return [*([] if named else ["source=auto"]), f"source.path={path}"]


def literal_path(key: str, value: str) -> str | None:
    """The path that `value` of `key` stands for as it is typed, `~` expanded; None if Hydra's
    grammar (quotes, lists, interpolations) must read it."""
    if key not in PATH_KEYS and key not in FOLDERS:
        return None
    expanded = os.path.expanduser(value)
    as_typed = os.path.lexists(expanded) or value != value.strip() or expanded != value
    if as_typed or (key in FOLDERS and not set("'\"$") & set(value)):
        return expanded
    return None
