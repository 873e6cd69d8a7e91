"""Compiled networks in the cache folder: used if whole, compiled again if not."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.runtime import compiled
from models.runtime.compiled import compile_model

pytestmark = pytest.mark.weights
EXACT: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}


def add(number: float) -> Any:
    """A graph that adds `number` to four values."""
    import openvino as ov
    from openvino import opset13 as ops

    given = ops.parameter([4], np.float32)
    return ov.Model([ops.add(given, ops.constant(np.full(4, number, np.float32)))], [given])


def result(network: Any) -> list[float]:
    values: list[float] = network([np.zeros(4, np.float32)])[0].tolist()
    return values


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCENE_ARIA_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    compiled.core()
    import openvino as ov

    ov.save_model(add(2), tmp_path / "add.xml", compress_to_fp16=False)
    return tmp_path / "add.xml"


def kept(home: Path) -> list[Path]:
    return sorted((home / "compiled").glob("*.blob"))


def compilations(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Grows with every graph that is read to be compiled."""
    read: list[object] = []
    real = compiled.core()

    class Counting:
        def read_model(self, path: Path) -> Any:
            read.append(path)
            return real.read_model(path)

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    monkeypatch.setattr(compiled, "core", Counting)
    return read


def test_the_second_start_compiles_nothing(
    graph: Path, home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read = compilations(monkeypatch)
    networks = [compile_model(graph, **EXACT) for _ in range(3)]
    assert [result(network) for network in networks] == [[2, 2, 2, 2]] * 3
    assert len(read) == 1
    assert [path.name.split("-")[0] for path in kept(home)] == ["add"]
    assert not caplog.records


def test_a_network_runs_on_after_its_pages_were_released(graph: Path) -> None:
    compile_model(graph, **EXACT)
    network = compile_model(graph, **EXACT)
    assert result(network) == [2, 2, 2, 2]
    compiled.release_pages()
    assert result(network) == [2, 2, 2, 2]


def test_other_weights_or_settings_are_another_network(graph: Path, home: Path) -> None:
    import openvino as ov

    assert result(compile_model(graph, **EXACT)) == [2, 2, 2, 2]
    ov.save_model(add(3), graph, compress_to_fp16=False)
    assert result(compile_model(graph, **EXACT)) == [3, 3, 3, 3]
    compile_model(graph, **EXACT | {"NUM_STREAMS": "1"})
    assert len(kept(home)) == 3


def test_a_graph_made_by_a_function_is_made_once(tmp_path: Path) -> None:
    source = tmp_path / "seven.txt"
    source.write_text("7", encoding="utf-8")
    made: list[float] = []

    def build() -> Any:
        made.append(float(source.read_text(encoding="utf-8")))
        return add(made[-1])

    for _ in range(2):
        assert result(compile_model(build, sources=[source], **EXACT)) == [7, 7, 7, 7]
    source.write_text("8", encoding="utf-8")
    assert result(compile_model(build, sources=[source], **EXACT)) == [8, 8, 8, 8]
    assert made == [7, 8]


@pytest.mark.parametrize("damage", ["empty", "half", "flipped", "junk", "folder"])
def test_a_damaged_file_costs_a_compilation_and_one_line(
    graph: Path,
    home: Path,
    damage: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    compile_model(graph, **EXACT)
    (place,) = kept(home)
    content = bytearray(place.read_bytes())
    content[-9] ^= 1
    damaged = {
        "empty": b"",
        "half": bytes(content[: len(content) // 2]),
        "flipped": bytes(content),
        "junk": b"not a network " * 99,
    }
    place.unlink()
    if damage == "folder":
        place.mkdir()
    else:
        place.write_bytes(damaged[damage])
    read = compilations(monkeypatch)
    assert result(compile_model(graph, **EXACT)) == [2, 2, 2, 2]
    assert len(read) == 1
    lines = [record.getMessage() for record in caplog.records]
    assert str(place) in lines[0]
    assert "compiled again" in lines[0]
    assert not any("\n" in line for line in lines)
    if damage != "folder":  # repaired
        assert len(lines) == 1
        assert result(compile_model(graph, **EXACT)) == [2, 2, 2, 2]
        assert len(read) == 1


def full_disk(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("step", ["mkdir", "write", "replace"])
def test_a_full_disk_or_a_folder_that_cannot_be_written_costs_one_line(
    graph: Path,
    home: Path,
    step: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if step == "mkdir":
        monkeypatch.setattr(Path, "mkdir", full_disk)
    elif step == "write":
        monkeypatch.setattr(os, "fdopen", full_disk)
    else:
        monkeypatch.setattr(os, "replace", full_disk)
    for streams in ("1", "2"):  # two networks
        assert result(compile_model(graph, NUM_STREAMS=streams, **EXACT)) == [2, 2, 2, 2]
    (record,) = caplog.records
    assert "No space left" in record.getMessage()
    assert not kept(home)
    assert not list(home.rglob("*.partial"))


def test_a_home_that_is_a_file_costs_one_line(
    graph: Path, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home.write_text("not a folder", encoding="utf-8")
    assert result(compile_model(graph, **EXACT)) == [2, 2, 2, 2]
    (record,) = caplog.records
    assert "not kept" in record.getMessage()


def test_files_that_no_start_has_used_for_a_month_are_deleted(graph: Path, home: Path) -> None:
    (home / "compiled").mkdir(parents=True)
    old, recent, half = (home / "compiled" / n for n in ("a-1.blob", "b-2.blob", ".x.partial"))
    for path, days in ((old, 31), (recent, 29), (half, 31)):
        path.write_bytes(b"")
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - days * 86400))
    compile_model(graph, **EXACT)
    assert not old.exists()
    assert not half.exists()
    assert recent.exists()


def test_openvino_is_imported_without_its_usage_report() -> None:
    import sys

    compiled.core()
    assert sys.modules["openvino_telemetry"] is None
