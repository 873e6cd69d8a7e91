"""The command line: converts the arguments for Hydra, and turns Hydra's errors into one line each.

Knows Hydra and OmegaConf, and imports them only when they are needed, so that `--help` and a wrong
option are answered at once. Must not know what a setting does.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from engine.app.arguments import PATH_KEYS, Spelled, literal_path, spell_out
from engine.app.settings_check import check
from engine.app.settings_guard import check_arguments
from engine.config import Config
from engine.core.errors import ConfigError, EngineError, in_one_line
from engine.core.extras import pip_install
from engine.core.settings import settings

if TYPE_CHECKING:
    from omegaconf import DictConfig

# Optuna's sweeper maximises the answer quality and minimises the latency (see `__main__.job`).
TWO_DIRECTIONS = "hydra.sweeper.direction=[maximize,minimize]"
PLUGINS = {
    "hydra/sweeper=optuna": "hydra_plugins.hydra_optuna_sweeper",
    "hydra/launcher=joblib": "hydra_plugins.hydra_joblib_launcher",
    "hydra/launcher=ray": "hydra_plugins.hydra_ray_launcher",
}
# Hydra 1.3's own options, as `--hydra-help` lists them: without a value, and with one. Not
# --experimental-rerun, which unpickles a file.
FLAGS = (
    "--help -h", "--hydra-help", "--version", "--resolve", "--run -r", "--multirun -m",
    "--shell-completion -sc",
)  # fmt: skip
OPTIONS = (
    "--cfg -c", "--package -p", "--config-path -cp", "--config-name -cn", "--config-dir -cd",
)  # fmt: skip
CFG = ("job", "hydra", "all")
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
CONF = Path(__file__).parents[2] / "conf"
PLAIN_PATH = re.compile(r"[\w.-]*/[\w./-]*")  # the same in Hydra's grammar
BRACE = r"\${"  # escaped


def to_hydra(arguments: Sequence[str]) -> list[str]:
    """The arguments in Hydra's grammar. Values that it cannot parse are quoted.

    So `source.path=niño (1).jpg` works as typed. Raises ConfigError for an unknown option, a
    malformed key, and the deletion of a key.
    """
    return read_arguments(arguments).arguments


def read_arguments(arguments: Sequence[str]) -> Spelled:
    """The arguments in Hydra's grammar, as `to_hydra` returns them, with the line that says what a
    short form stood for. Raises ConfigError."""
    options, unknown = _options_parser().parse_known_args(list(arguments))
    for argument in unknown:
        expected = "KEY=VALUE without dashes, such as mode=quick"
        if not argument.startswith("-"):  # argparse takes one run of positional arguments
            expected = "all KEY=VALUE together, before or after the options"
        elif os.path.lexists(argument):
            expected = f"a file as ./{argument}"
        raise ConfigError(f"{argument}: expected {expected}; see --help")
    _require_plugins(arguments)
    files = (options.config_dir, options.config_path, options.config_name)
    check_arguments(options.overrides, files, CONF)
    spelled = spell_out(list(arguments), options.overrides)
    found = [_quoted(argument, options.multirun) for argument in spelled.arguments]
    directed = any(
        argument.lstrip("+").startswith("hydra.sweeper.direction=") for argument in found
    )
    if "hydra/sweeper=optuna" in found and not directed:
        found.append(TWO_DIRECTIONS)
    return Spelled(found, spelled.line)


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Whether `--help` is among the options. Raises ConfigError for a wrong option."""
    return bool(_options_parser().parse_known_args(list(arguments))[0].help)


class _OneLineParser(argparse.ArgumentParser):
    """Raises ConfigError where argparse would print the usage and exit."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message.removeprefix('argument ')}; see --hydra-help")


def _options_parser() -> argparse.ArgumentParser:
    """A parser of Hydra's options; its error for a wrong option is one line."""
    parser = _OneLineParser(add_help=False)
    parser.add_argument("overrides", nargs="*")
    for names in FLAGS:
        parser.add_argument(*names.split(), action="store_true")
    for names in OPTIONS:
        parser.add_argument(*names.split(), choices=CFG if names == "--cfg -c" else None)
    parser.add_argument("--info", "-i", nargs="?", const="all", choices=INFO)
    return parser


def _require_plugins(arguments: Sequence[str]) -> None:
    """Raise ConfigError, with the install command, if a launcher or sweeper is not installed."""
    for argument in arguments:
        package = PLUGINS.get(argument)
        if package is not None and not _installed(package):
            raise ConfigError(
                f"{argument}: expected {package}, found none; "
                f"install it with: {pip_install('sweep')}"
            )


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # even the namespace package of Hydra's plugins is missing
        return False


def _quoted(argument: str, sweeps: bool) -> str:
    key, equals, value = argument.partition("=")
    if argument.startswith("~") and not argument.startswith("~hydra"):
        raise ConfigError(f"{argument}: expected KEY=VALUE, got a key to delete; see --help")
    if not equals or argument.startswith("-"):
        return argument  # an option or its value
    if key in ("hydra.run.dir", "hydra.sweep.dir") and not value.strip("'\" "):
        raise ConfigError(f"{key}: expected a folder, got ''; give one, or leave it out")
    if not key:
        raise ConfigError(f"{argument}: expected KEY=VALUE; see --help")
    path = literal_path(key, value)
    if path is not None:
        # OmegaConf would take ${…} for an interpolation
        return (
            f"{key}={path if PLAIN_PATH.fullmatch(path) else _in_quotes(path.replace('${', BRACE))}"
        )
    if _parses(argument, sweeps):
        return argument
    quoted = f"{key}={_in_quotes(value)}"
    if not _parses(quoted, sweeps):
        raise ConfigError(f"{key}: expected a configuration key; see --help")
    return quoted


def _in_quotes(value: str) -> str:
    from hydra.core.override_parser.types import Quote, QuotedString

    return str(QuotedString(value, Quote.double).with_quotes())


def _parses(argument: str, sweeps: bool) -> bool:
    """Whether Hydra parses `argument` as one usable value."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        override = OverridesParser.create().parse_override(argument)
    except HydraException:
        return False
    if override.is_sweep_override():
        return sweeps
    # Hydra's defaults list fails on a group that is null
    return override.value() is not None or not (CONF / override.key_or_group).is_dir()


def read_config(node: DictConfig) -> Config:
    """The composed tree as checked settings, `~` expanded in every path. Raises ConfigError or
    OmegaConf's errors."""
    from omegaconf import OmegaConf

    if unknown := next(_unknown_keys(node), None):
        raise ConfigError(f"{unknown}: expected a configuration key; see --help")
    config = cast(Config, OmegaConf.to_object(node))
    for key in PATH_KEYS:
        *above, name = key.split(".")
        holder: Any = config
        for part in above:
            holder = getattr(holder, part)
        if isinstance(value := getattr(holder, name), str):
            setattr(holder, name, os.path.expanduser(value))
    return check(config)


def _unknown_keys(node: DictConfig) -> Iterator[str]:
    """Dotted keys of a composed tree that `Config` lacks: `+` and `++` can add any."""
    from omegaconf import OmegaConf

    known = {key for key, _, _ in settings(Config())}

    def walk(tree: dict[str, Any], prefix: str) -> Iterator[str]:
        for name, value in tree.items():
            if isinstance(value, dict) and value and f"{prefix}{name}" not in known:
                yield from walk(value, f"{prefix}{name}.")
            elif f"{prefix}{name}" not in known:
                yield f"{prefix}{name}"

    tree: Any = OmegaConf.to_container(node, resolve=False)
    return walk(tree, "")


def error_line(error: BaseException) -> str:
    """A configuration error as one line with the value that was typed and the allowed values."""
    if isinstance(error, EngineError):
        return in_one_line(error)
    if missing := re.search(r"Could not override '([^']+)'", str(error)):
        return f"{missing[1]}: expected a configuration key, got none of that name; see --help"
    if bare := re.search(r"Error parsing override '([^'=]*)'", str(error)):
        return f"{bare[1]}: expected KEY=VALUE; see --help"
    from omegaconf.errors import OmegaConfBaseException

    # OmegaConf's error names the key. Hydra wraps it; under a debugger it also has a cause.
    cause = None if isinstance(error, OmegaConfBaseException) else error.__cause__
    text = str(cause or error).strip()
    key = re.search(r"full_key: (\S+)", text)
    first = " ".join(text.split("\n    full_key:")[0].split())
    if group := re.search(r"Could not find '([^']+)/([^'/]*)'", first):
        names = sorted(path.stem for path in (CONF / group[1]).glob("*.yaml"))
        expected = f"one of {', '.join(names)}" if names else "another"
        return f"{group[1]}: expected {expected}, got {group[2]!r}"
    if value := re.search(r"Value '(.*)' of type '\w+' could not be converted to (\w+)", first):
        first = f"expected {value[2]}, got {value[1]!r}"
    elif value := re.search(r"Value '(.*)' is not a valid bool", first):
        first = f"expected true or false, got {value[1]!r}"
    elif re.search(r"field '.*' is not Optional", first):
        first = "expected a value, got null"
    return f"{key[1]}: {first}" if key else first
