"""Every README: its links lead somewhere, its commands parse, its lines are short.

Commands are parsed in this process and never run. Hydra composes and checks the settings; argparse
reads the options of every other module and is then stopped.
"""

import argparse
import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

import engine.app.job  # noqa: F401  # registers the settings with Hydra
from engine.__main__ import SUPERVISED
from engine.app.command_line import CONF, read_config, to_hydra

pytestmark = pytest.mark.weights  # some of the commands import torch before they parse

ROOT = Path(__file__).parents[2]
WIDTH = 100
README_LINES = 205
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
INLINE = re.compile(r"`((?:python -m|make|scene-aria|\.venv/bin/python -m) [^`\n]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def pages() -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return [ROOT / name for name in names if (ROOT / name).is_file()]


PAGES = pages()
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def slugs(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text(encoding="utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if "://" in target:  # nothing here may depend on the network
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), f"{page.name} links to {target}, which is not here"
        if anchor:
            assert anchor in slugs(file), f"{page.name} links to {target}: no such heading"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.parent.name != "results"], ids=lambda page: page.name
)
def test_lines_are_short(page: Path) -> None:
    """Rows of tables may be longer: they cannot be broken. What commands write is not held to it."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    long = [line for line in text.splitlines() if len(line) > WIDTH and not line.startswith("|")]
    assert not long, f"expected at most {WIDTH} characters, got {len(long[0])}: {long[0]}"


def test_the_readme_is_read_in_five_minutes() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= README_LINES
    assert max(map(len, lines)) <= WIDTH


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_block_says_what_it_holds(page: Path) -> None:
    """`sh` is checked below; transcripts and diagrams are `text`."""
    for language, block in FENCE.findall(page.read_text(encoding="utf-8")):
        assert language, f"a block without a language begins with: {block.splitlines()[0]}"


# commands


def commands(page: Path) -> Iterator[str]:
    """Commands in blocks that are marked `sh`, and those in backticks."""
    text = page.read_text(encoding="utf-8")
    for language, block in FENCE.findall(text):
        if language == "sh":
            for line in re.sub(r"\\\n\s*", " ", block).splitlines():
                if line.strip():
                    yield line.strip()
    yield from INLINE.findall(FENCE.sub("", text))


EXAMPLES = ("PHOTO", "VIDEO", "FOLDER")  # what the reader names without a key


class Parsed(BaseException):
    """argparse has read everything: go no further. No Exception, so that no command catches it."""


def parse_module(module: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `python -m module arguments` parse its command line."""
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(parser: Any, args: Any = None, namespace: Any = None) -> NoReturn:
        parse(parser, args, namespace)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.setattr(sys, "argv", [module, *arguments])
    found = importlib.import_module(module)
    if hasattr(found, "__path__"):
        found = importlib.import_module(f"{module}.__main__")
    if not hasattr(found, "main"):
        assert not arguments, f"{module} takes no arguments"
        return
    try:
        found.main()
    except Parsed:
        return
    except SystemExit as stopped:
        if stopped.code not in (0, None):
            pytest.fail(f"python -m {module} {shlex.join(arguments)}")
        return
    pytest.fail(f"{module}.main() parsed no command line")


def parse_engine(arguments: list[str]) -> None:
    """Compose and check the settings as `python -m engine` would, for the first job of a sweep."""
    if {"--help", "--hydra-help", "--cfg"} & set(arguments):
        return
    # Plugins for launchers and sweepers are optional, and not needed to compose. No file is there.
    # The supervisor passes on everything but its own option.
    passed_on = [item for item in arguments if item != SUPERVISED]
    named = [f"source.path={item}" if item in EXAMPLES else item for item in passed_on]
    typed = to_hydra([item for item in named if not item.startswith("hydra/")])
    sweeps = bool({"-m", "--multirun"} & set(typed))
    overrides = [item for item in typed if "=" in item and not item.lstrip("+").startswith("hydra")]
    if sweeps:
        overrides = [_first(item) for item in overrides]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        read_config(compose("config", overrides=overrides))


def _first(override: str) -> str:
    """A sweep's override with the first of its values."""
    key, _, value = override.partition("=")
    if interval := re.fullmatch(r"interval\(([^,]+),.*\)", value):
        return f"{key}={interval[1]}"
    return f"{key}={value.split(',')[0]}" if "," in value else override


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


def extras() -> set[str]:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return set(project["optional-dependencies"])


def programs(command: str) -> Iterator[list[str]]:
    """The words of each program in a shell command, without environment and redirections."""
    words: list[str] = []
    for word in [*shlex.split(command, comments=True), "&&"]:
        if word in ("&&", "|", ";"):
            while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                words.pop(0)
            if words:
                yield words[: words.index(">")] if ">" in words else words
            words = []
        else:
            words.append(word)


def is_example(word: str) -> bool:
    """Whether a word stands for what the reader types."""
    return word in ("...", "KEY=VALUE", "NAME", "CODE") or word.endswith("=CODE")


ALL = sorted(
    {(name, command) for page, name in zip(PAGES, NAMES, strict=True) for command in commands(page)}
)


@pytest.mark.parametrize(("page", "command"), ALL, ids=[f"{n}: {c}" for n, c in ALL])
def test_every_command_parses(page: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for words in programs(command):
        parse(page, [word for word in words if not is_example(word)], monkeypatch)


def parse(page: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    program, *rest = words
    if program == "make":
        assert {word for word in rest if "=" not in word} <= targets(), words
    elif program == "scene-aria":
        parse_engine(rest)
    elif Path(program).name in ("python", "python3") and rest[:1] == ["-m"]:
        module, *arguments = rest[1:]
        if module == "engine":
            parse_engine(arguments)
        elif module not in ("pytest", "venv", "experiments."):
            parse_module(module, arguments, monkeypatch)
    elif program in ("pip", "pipx", "uvx"):
        for found in re.findall(r"\[([\w,]+)\]", " ".join(rest)):
            assert set(found.split(",")) <= extras(), words
    else:
        known = ("cd", "git", "ray", "apt-get", "sudo", "systemctl", "aria", "rerun")
        assert program in known, f"{page}: {program}: this check does not know it; name it here"
