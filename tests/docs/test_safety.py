"""SAFETY.md: every hazard names a test, and every test that it names exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEST = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")
COLUMNS = 4


def rows() -> list[list[str]]:
    """The cells of each row of each table, without headings."""
    lines = (ROOT / "SAFETY.md").read_text(encoding="utf-8").splitlines()
    found = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"
    ]
    return [cells for cells in found if cells[0] != "hazard" and set(cells[0]) != {"-"}]


ROWS = rows()


@cache
def functions_of(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_there_are_hazards() -> None:
    assert len(ROWS) > 30


@pytest.mark.parametrize("cells", ROWS, ids=[cells[0] for cells in ROWS])
def test_the_row_names_a_test_that_exists(cells: list[str]) -> None:
    assert len(cells) == COLUMNS
    named = TEST.findall(cells[2])
    assert named, f"expected a test, got {cells[2]!r}"
    for path, name in named:
        assert (ROOT / path).is_file(), path
        assert name in functions_of(path), f"{path} has no {name}"
