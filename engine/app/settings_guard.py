"""Refuses settings that could run code, before Hydra reads them: from the command line and from files.

Hydra builds any object that a `_target_` names, loads what a package's search path names, hands a
logging tree to Python's factories, and unpickles an old job. A settings file that came by mail must
do none of that. So only known parts of Hydra's own tree may be set, and only known classes named.
Knows Hydra's tree, and imports nothing of Hydra.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from engine.app.arguments import PATH_KEYS
from engine.core.errors import ConfigError

SETTABLE = re.compile(
    r"hydra\.(run\.dir|sweep\.(dir|subdir)|output_subdir|verbose|mode|job\.(name|chdir)"
    r"|help\..*|(sweeper|launcher)(\..*)?|callbacks\.\w+)"
)
CHOOSABLE = re.compile(r"hydra/(sweeper|launcher|sweeper/sampler|job_logging|hydra_logging)")
CHOICES = {
    "basic", "optuna", "joblib", "ray", "tpe", "random", "cmaes", "nsgaii", "motpe", "grid",
    "none", "disabled", "default", "stdout", "null",
}  # fmt: skip
OURS = ("engine.app.job.FolderGuard", "engine.evaluation.sweep.SweepReport")
CLASSES = {
    "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
    "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher",
    "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher",
    "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper",
    *(
        f"optuna.samplers.{name}Sampler"
        for name in ("TPE", "Random", "CmaEs", "NSGAII", "MOTPE", "Grid")
    ),
}
# Keys of launchers and sweepers by whose values they import or run something, or fetch pickles.
NEVER = {"runtime_env", "_system_config", "custom_search_space", "_args_", "_partial_"}
HERE = ("auto", "local", None)  # Ray's addresses on this machine
PACKAGE = re.compile(r"^\s*#\s*@package\s+(\S+)", re.MULTILINE)
SUSPECT = re.compile(r"_target_|hydra|@|\\|\.\.")  # other files of ours need not be parsed


def check_arguments(overrides: Sequence[str], files: Sequence[str | None], conf: Path) -> None:
    """Refuse what could run code: the KEY=VALUE arguments, the files of `conf`, and all files of
    the folder that --config-dir or --config-path names. `files` are those two and --config-name.

    Raises ConfigError.
    """
    for override in overrides:
        _check_override(override)
    *folders, name = files
    if name is not None and (".." in name or name.startswith("/")):
        raise ConfigError(f"--config-name: expected a name, got the path {name}; use --config-dir")
    for path in sorted(conf.rglob("*.yaml")):
        if SUSPECT.search(path.read_text(encoding="utf-8", errors="replace")):
            _check_file(path, path.relative_to(conf))
    for folder in filter(None, folders):
        if "://" in folder:
            raise ConfigError(f"{folder}: expected a folder, got a URL; give its path")
        for path in _settings_files(Path(folder)):
            _check_file(path, path.relative_to(folder))


def _settings_files(folder: Path) -> Iterator[Path]:
    """All files of settings below `folder`, also behind links, which Hydra follows."""
    seen: set[str] = set()
    for above, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(above)
        folders[:] = [] if real in seen else sorted(folders)
        seen.add(real)
        yield from (Path(above, name) for name in sorted(names) if Path(name).match("*.y*ml"))


def _check_override(override: str) -> None:
    key, _, value = override.partition("=")
    key = key.lstrip("+~")
    group, at, package = key.partition("@")
    mapping = "{" in value.replace("${", "") and group not in PATH_KEYS
    if mapping and ("_target_" in value or group.startswith("hydra")):
        raise _refusal(override, "a plain value", "a mapping")
    if ".." in value and "." not in group and group not in PATH_KEYS:
        raise _refusal(override, "the name of a file in its group", "a path")
    if at and "hydra" in package:
        raise _refusal(override, "a setting", "a part of Hydra")
    if group.startswith("hydra/"):
        _check_choice(override, group, value)
    elif group.startswith("hydra"):
        _check_value(override, group, value)
    elif "_target_" in group:
        raise _refusal(override, "a setting", "a class")


def _check_choice(where: str, group: str, value: object) -> None:
    choices = value.split(",") if isinstance(value, str) else [value]
    if not CHOOSABLE.fullmatch(group) or not CHOICES.issuperset(map(str, choices)):
        raise _refusal(where, "a launcher, sweeper or sampler of Hydra's own", f"{group}={value}")


def _check_value(where: str, key: str, value: object) -> None:
    """Check one leaf of Hydra's tree by its dotted key."""
    parts = key.split(".")
    if not SETTABLE.fullmatch(key.removesuffix("._target_")) or NEVER & set(parts):
        raise _refusal(where, "a setting that runs nothing", key)
    name = parts[-1]
    if parts[1] == "callbacks":
        if name != "_target_" or value not in OURS:
            raise _refusal(where, "no callback", key)
    elif name == "_target_":
        if value not in CLASSES:
            raise _refusal(where, "a known launcher or sweeper", f"{value}")
    elif name == "address" and value not in HERE:
        raise _refusal(where, "Ray on this machine (auto or local)", f"{value}")
    elif name == "storage" and not str(value or "sqlite:").startswith("sqlite:"):
        raise _refusal(where, "a database in a file (sqlite:///FILE)", f"{value}")


def _check_file(path: Path, name: Path) -> None:
    """Refuse a file of settings whose content, at any package, could run code."""
    tree = _read(path)
    text = path.read_text(encoding="utf-8", errors="replace")
    where = str(path)
    if name.parts[0] == "hydra":
        raise _refusal(where, "settings of the engine", "a part of Hydra")
    for package in PACKAGE.findall(text):
        if "hydra" in package:
            raise _refusal(where, "settings of the engine", f"the package {package}")
    if not isinstance(tree, dict):
        return
    for entry in tree.get("defaults") or ():
        _check_default(where, entry)
    for key, value in _leaves({k: v for k, v in tree.items() if k != "defaults"}, ""):
        if key.split(".")[0] == "hydra":
            _check_value(where, key, value)
        elif "_target_" in key.split("."):
            raise _refusal(where, "settings of the engine", f"the class {value}")


def _read(path: Path) -> Any:
    from omegaconf import OmegaConf

    try:
        return OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except Exception as error:  # YAML and OmegaConf raise many types
        reason = " ".join(str(error).split())[:120]
        raise ConfigError(f"{path}: expected settings in YAML, got: {reason}") from error


def _check_default(where: str, entry: object) -> None:
    """Check an entry of a defaults list: a name, or {group: name}."""
    pairs = entry.items() if isinstance(entry, dict) else [(str(entry), None)]
    for group, name in pairs:
        words = str(group).split()
        group = words[-1] if words else ""
        if ".." in f"{entry}":
            raise _refusal(where, "the name of a file in its group", f"{entry}")
        if "hydra" in f"{entry}".partition("@")[2]:
            raise _refusal(where, "settings of the engine", f"the package of {entry}")
        group = group.lstrip("/").partition("@")[0]
        if group.startswith("hydra"):
            _check_choice(where, group, "null" if name is None else name)


def _leaves(tree: object, prefix: str) -> Iterator[tuple[str, object]]:
    """(dotted key, value) of everything in a tree that is no mapping. Mappings in lists too."""
    if isinstance(tree, dict) and tree:
        for name, value in tree.items():
            yield from _leaves(value, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(tree, list) and any(isinstance(item, dict | list) for item in tree):
        for item in tree:
            yield from _leaves(item, f"{prefix}.item")
    else:
        yield prefix, tree


def _refusal(where: str, expected: str, got: str) -> ConfigError:
    return ConfigError(f"{where}: expected {expected}, got {got}, which could run code; remove it")
