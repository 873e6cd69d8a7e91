"""Declares settings: every field of `engine.config` carries its meaning, unit and allowed values.

The checks, their error lines, `--help` and conf/README.md all read these declarations. They are
plain dataclass fields, which Hydra's structured configuration accepts. Knows no particular setting.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

PATHS = ("PATH", "FILE", "DIR")  # the placeholders of settings that name a file or folder


@dataclass(frozen=True)
class Setting:
    """What one key may hold; `default` None means that null is allowed too."""

    default: Any
    help: str
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    unit: str = ""
    placeholder: str = ""  # shown in the help in place of free text: FILE, DIR, IP
    group: bool = False  # a Hydra group: typed without the field's name, `source=image`
    # of a deprecated key: old value → new KEY=VALUE
    replaced_by: Mapping[str, str] = field(default_factory=dict)

    def refusal(self, value: Any) -> str | None:
        """What is wrong with `value`, as `expected …, got …`; None when it is allowed."""
        if value is None:
            return None  # if the type has no null, Hydra refuses it
        if self.choices and value not in self.choices:
            return f"expected one of {', '.join(self.choices)}, got {value!r}"
        if self.placeholder and isinstance(value, str) and not value.strip():
            return f"expected {self.placeholder}, got {value!r}; is a variable of the shell empty?"
        if self.low is None:
            return None
        # Not `value < low or …`: every comparison with nan is false, and nan must be refused.
        if self.low <= value and (self.high is None or value <= self.high):
            return None
        null = "null or " if self.default is None else ""
        bounds = f"at least {self.low}" if self.high is None else f"{self.low} to {self.high}"
        return f"expected {null}{bounds}, got {value}"


def choice(
    *allowed: str, help: str, group: bool = False, replaced_by: Mapping[str, str] | None = None
) -> Any:
    """A string that must be one of `allowed`; the first is the default."""
    return _field(
        Setting(allowed[0], help, choices=allowed, group=group, replaced_by=replaced_by or {})
    )


def number(
    default: float | None,
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
    *,
    help: str,
) -> Any:
    """A number (int or float, as annotated) from `low` to `high`, if given."""
    return _field(Setting(default, help, low=low, high=high, unit=unit))


def switch(default: bool, *, help: str) -> Any:
    """True or false."""
    return _field(Setting(default, help))


def text(default: str | None, placeholder: str, *, help: str) -> Any:
    """A free string that is not empty, such as a path."""
    return _field(Setting(default, help, placeholder=placeholder))


def mapping(placeholder: str, *, help: str) -> Any:
    """A dictionary, empty by default."""
    setting = Setting({}, help, placeholder=placeholder)
    return field(default_factory=dict, metadata={"setting": setting})


def _field(setting: Setting) -> Any:
    return field(default=setting.default, metadata={"setting": setting})


def settings(node: Any, prefix: str = "") -> Iterator[tuple[str, Any, Setting]]:
    """Yield (dotted key, value, declaration) for every leaf of a configuration."""
    for item in fields(node):
        value = getattr(node, item.name)
        if is_dataclass(value):
            yield from settings(value, f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", value, item.metadata["setting"]


def typed_key(key: str, setting: Setting) -> str:
    """The key as the user types it: `source`, not `source.name`."""
    return key.rpartition(".")[0] if setting.group else key
