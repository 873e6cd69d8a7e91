"""The direction of imports in models/fastvlm: runtimes know the forms, not the exporter."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.command import ROOT

FASTVLM = ROOT / "models" / "fastvlm"
RUNTIMES = ("torch", "openvino", "onnx")


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, those within functions included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_only_the_exporter_imports_the_exporter() -> None:
    for path in FASTVLM.rglob("*.py"):
        if path.parent.name != "export":
            assert not [name for name in imports(path) if "fastvlm.export" in name], path


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_runtime_imports_no_other_runtime(runtime: str) -> None:
    others = tuple(f"models.fastvlm.{name}." for name in RUNTIMES if name != runtime)
    for path in (FASTVLM / runtime).glob("*.py"):
        assert not [name for name in imports(path) if name.startswith(others)], path


def test_shared_modules_import_a_runtime_only_to_open_it() -> None:
    folders = tuple(f"models.fastvlm.{name}." for name in RUNTIMES)
    for path in FASTVLM.glob("*.py"):
        if path.name != "selection.py":
            assert not [name for name in imports(path) if name.startswith(folders)], path
