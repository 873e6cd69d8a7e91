"""What a light install has: nothing of a training framework, and an extra for every other package."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest

from engine.core.arguments import OneLineParser
from engine.core.extras import pip_install
from engine.doctor import BASE

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FRAMEWORKS = {"torch", "torchvision", "transformers", "timm", "ultralytics-opencv-headless"}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\s<>=~!;\[]", line)[0] for line in requirements}


def test_the_base_has_no_framework_and_the_extra_torch_has_them_all() -> None:
    assert not FRAMEWORKS & names(PROJECT["dependencies"])
    assert names(PROJECT["optional-dependencies"]["torch"]) >= FRAMEWORKS
    assert set(BASE) <= names(PROJECT["dependencies"])


def test_every_extra_that_a_line_names_exists() -> None:
    named = {
        extra
        for folder in ("engine", "models", "experiments")
        for path in (ROOT / folder).rglob("*.py")
        for extra in re.findall(r"pip_install\(['\"](\w+)['\"]\)", path.read_text(encoding="utf-8"))
    }
    assert named >= {"torch", "aria", "view", "keys", "sweep"}
    assert named <= set(PROJECT["optional-dependencies"])


def test_the_command_fits_a_checkout_and_a_package() -> None:
    assert pip_install("view", checkout=True) == "pip install -e '.[view]'"
    assert pip_install("view", checkout=False) == "pip install 'scene-aria[view]'"


def test_a_wrong_command_line_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    parser = OneLineParser(prog="python -m models")
    parser.add_subparsers(metavar="COMMAND").add_parser("pull")
    for arguments, said in (
        (["bogus"], "python -m models: COMMAND: expected one of pull, got 'bogus'; see"),
        (["--bogus"], "python -m models: unrecognized arguments: --bogus; see"),
    ):
        with pytest.raises(SystemExit) as ended:
            parser.parse_args(arguments)
        assert ended.value.code == 2
        line = capsys.readouterr().err
        assert line.startswith(said)
        assert line.count("\n") == 1


@pytest.mark.parametrize("module", ["models.__main__", "engine.doctor"])
def test_the_commands_use_it(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["command", "bogus"])
    with pytest.raises(SystemExit) as ended:
        importlib.import_module(module).main()
    assert ended.value.code == 2
