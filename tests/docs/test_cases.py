"""The list of inputs that went wrong names every file of its folder, and tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests" / "cases"
LIST = (CASES / "README.md").read_text(encoding="utf-8")
ROWS = [line for line in LIST.splitlines() if line.startswith("| ") and "::" in line]
NAMED = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", LIST)


def test_every_case_has_a_source_the_right_behaviour_and_a_test() -> None:
    assert len(ROWS) > 30
    for row in ROWS:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 4, row
        assert all(cells), row
        assert re.fullmatch(r"own|[\w.-]+/[\w.-]+ \d+(, ([\w.-]+/[\w.-]+ )?\d+)*", cells[1]), row


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_named_test_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_every_file_is_listed() -> None:
    listed = set(re.findall(r"`([\w.]+)`", LIST))
    files = {path.name for path in CASES.iterdir() if path.name != "README.md"}
    assert files <= listed
