"""Writes `python -m engine --help` and conf/README.md from the declarations in engine.config.

`python -m engine.app.settings_help > conf/README.md` updates that file. The explanation of a
group's choice is the first comment of its file in `conf/`.
"""

import textwrap
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from engine.app.command_line import CONF
from engine.config import Config
from engine.core.settings import Setting, settings, typed_key

WIDTH = 100  # columns of the help
MEANING_COLUMN = 42  # where the help's explanations begin

INTRODUCTION = """\
python -m engine KEY=VALUE ...
Tells the wearer of camera glasses what is around them. Exit status: 0 done, 1 failed while
running, 2 a wrong setting or input, 130 interrupted.

For example:
  python -m engine PHOTO                               or a video, or a folder of photos
  python -m engine mode=quick
  python -m engine --supervised                        started again after a failure
  python -m engine trigger=wake trigger.wake.phrase=alexa
  python -m engine source=image source.path=PHOTO trigger=once speech=wav
  python -m engine source=dataset source.path=DIR record=outputs.jsonl
  python -m engine -m router.threshold=0.2,0.4,0.6     one job for each value
  python -m engine -m experiment=threshold_sweep source.path=outputs.jsonl
  python -m engine --cfg job mode=quick                show all settings, run nothing
  python -m engine --hydra-help                        more options

Settings. Of several values the first is the default; of a number, the bounds are in brackets."""

README = """\
# Settings

Made by `python -m engine.app.settings_help > conf/README.md` from the declarations in
[engine/config.py](../engine/config.py); do not edit it. Set a key on the command line:
`python -m engine KEY=VALUE ...`. A wrong key or value ends the run before any model loads, with
exit status 2 and one line. `python -m engine --cfg job KEY=VALUE ...` shows all values and runs
nothing.
"""


def sections(config: Config) -> Iterator[tuple[str, str, list[tuple[str, Setting]]]]:
    """Yield (title, description, settings by typed key), the top-level settings first."""
    everyday = [(key, setting) for key, _, setting in settings(config) if "." not in key]
    yield "general", str(Config.__doc__), everyday
    for item in fields(config):
        node = getattr(config, item.name)
        if is_dataclass(node):
            inside = settings(node, f"{item.name}.")
            found = [(typed_key(key, setting), setting) for key, _, setting in inside]
            yield item.name, str(node.__doc__), [pair for pair in found if not pair[1].replaced_by]


def other_groups() -> list[str]:
    """The groups of `conf/` that set keys of several sections: prompts, experiment."""
    own = {key for _, _, found in sections(Config()) for key, setting in found if setting.group}
    return sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name not in own)


def group_choices(group: str) -> dict[str, str]:
    """Each choice of a Hydra group, with the first comment of its file."""
    return {path.stem: _first_comment(path) for path in sorted((CONF / group).glob("*.yaml"))}


def _first_comment(path: Path) -> str:
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# ") and not line.startswith("# @package"):
            return line.removeprefix("# ")
    return ""


def help_text() -> str:
    """The text that `--help` prints."""
    lines = [INTRODUCTION]
    for title, about, found in sections(Config()):
        lines += ["", f"{title}: {_lower(about)}"]
        for key, setting in found:
            lines += _entry(f"{key}={_values(setting)}", setting.help)
    lines += ["", "more groups: each sets several keys at once"]
    for group in other_groups():
        choices = group_choices(group)
        lines += _entry(f"{group}={'|'.join(choices)}", "; ".join(choices.values()))
    return "\n".join(lines)


def _entry(left: str, meaning: str) -> list[str]:
    """`left` and its meaning in two columns; if `left` is too long, it gets its own line."""
    indent = " " * MEANING_COLUMN
    meanings = textwrap.wrap(meaning, WIDTH - MEANING_COLUMN)
    if len(left) + 4 > MEANING_COLUMN:
        return [f"  {left}", *(indent + line for line in meanings)]
    first = f"  {left}".ljust(MEANING_COLUMN) + meanings[0]
    return [first, *(indent + line for line in meanings[1:])]


def _lower(sentence: str) -> str:
    first = sentence.splitlines()[0].rstrip(".")
    return first[0].lower() + first[1:]


def _values(setting: Setting) -> str:
    """The values as `--help` shows them, the default first."""
    if setting.choices:
        return "|".join(setting.choices)
    if isinstance(setting.default, bool):
        return f"{_shown(setting.default)}|{_shown(not setting.default)}"
    if setting.placeholder:
        first = f"{_shown(setting.default)}|" if setting.default != {} else ""
        return f"{first}{setting.placeholder}" if first else f"{{{setting.placeholder}}}"
    bounds = _bounds(setting)
    return f"{_shown(setting.default)}{f' ({bounds})' if bounds else ''}"


def _bounds(setting: Setting) -> str:
    """The allowed range of a number, with its unit."""
    bounds = ""
    if setting.low is not None:
        low = _shown(setting.low)
        bounds = f"at least {low}" if setting.high is None else f"{low} to {_shown(setting.high)}"
    return f"{bounds} {setting.unit}".strip()


def _shown(value: Any) -> str:
    """A value as YAML writes it."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else f"{value:.12g}"


def readme() -> str:
    """The text of conf/README.md."""
    lines = [README.rstrip("\n")]
    for title, about, found in sections(Config()):
        lines += ["", f"## {title}", "", about.splitlines()[0], ""]
        lines += ["| key | default | values | meaning |", "|---|---|---|---|"]
        lines += [_row(key, setting) for key, setting in found]
        for group in (key for key, setting in found if setting.group):
            lines += ["", *_choices(group)]
    for group in other_groups():
        lines += ["", f"## {group}", "", "Sets several keys at once.", "", *_choices(group)]
    lines += ["", "## Deprecated", "", "Accepted until the next version.", ""]
    lines += ["| key | values | meaning | use instead |", "|---|---|---|---|"]
    for key, _, setting in settings(Config()):
        if setting.replaced_by:
            new = ", ".join(f"`{name}`" for name in setting.replaced_by.values())
            lines.append(f"| `{key}` | {_cells(setting)[1]} | {setting.help} | {new} |")
    return "\n".join(lines) + "\n"


def _row(key: str, setting: Setting) -> str:
    default, values = _cells(setting)
    return f"| `{key}` | {default} | {values} | {setting.help} |"


def _cells(setting: Setting) -> tuple[str, str]:
    """The cells of default and values."""
    if setting.choices:
        return f"`{setting.choices[0]}`", ", ".join(f"`{name}`" for name in setting.choices)
    if setting.default == {}:
        return "", f"{{{setting.placeholder}}}"
    default = f"`{_shown(setting.default)}`"
    if isinstance(setting.default, bool):
        return default, "`true`, `false`"
    shown = setting.placeholder or _bounds(setting)
    return default, f"`null` or {shown}" if setting.default is None else shown


def _choices(group: str) -> list[str]:
    rows = [f"| `{group}={name}` | {about} |" for name, about in group_choices(group).items()]
    return ["| choice | meaning |", "|---|---|", *rows]


if __name__ == "__main__":
    print(readme(), end="")
