"""Exported forms of a checkpoint: found again, and refused if they are not what was written."""

import json
from pathlib import Path

import pytest

from engine.core.errors import MissingPart
from models.fastvlm.export.writer import write_form
from models.fastvlm.forms import (
    EXPORT_JSON,
    Form,
    exported_forms,
    exports_home,
    find_form,
    read_facts,
    size_bytes,
)

DECODER = Form("openvino", "decoder", "int8")
ENCODER = Form("onnx", "encoder", "fp16", 512)
FACTS = {"layers": 24, "context": 512}
HEADER = b'{"weight":{"dtype":"F32","shape":[64,1024],"data_offsets":[0,262144]}}'
VALUES = len(HEADER) + 8  # offset of the values in the file


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCENE_ARIA_HOME", str(tmp_path / "home"))
    folder = tmp_path / "a checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "fast_vlm"}', encoding="utf-8")
    (folder / "model.safetensors").write_bytes(
        len(HEADER).to_bytes(8, "little") + HEADER + bytes(64 * 1024 * 4)
    )
    return folder


def fill(folder: Path) -> None:
    (folder / "model.xml").write_text("<net/>", encoding="utf-8")
    (folder / "model.bin").write_bytes(b"weights")


def test_a_written_form_is_found_with_its_facts(checkpoint: Path) -> None:
    for form in (DECODER, ENCODER):
        written = write_form(checkpoint, form, FACTS, fill)
        assert find_form(checkpoint, form) == written
        assert read_facts(written) == FACTS
        assert size_bytes(written) > len(b"<net/>weights")
    export = json.loads((find_form(checkpoint, ENCODER) / EXPORT_JSON).read_text(encoding="utf-8"))
    assert export["side_px"] == 512
    assert "torch" in export["versions"]
    assert exported_forms(checkpoint) == [ENCODER, DECODER]


def test_a_missing_form_is_refused_with_the_command(checkpoint: Path) -> None:
    write_form(checkpoint, DECODER, FACTS, fill)
    with pytest.raises(MissingPart) as refused:
        find_form(checkpoint, ENCODER)
    assert str(refused.value).endswith(
        f"run: python -m models export --checkpoint '{checkpoint}' --runtime onnx "
        "--part encoder --precision fp16 --image-size 512"
    )


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("model.bin", b"weigh", "expected 7 bytes, got 5"),
        ("model.bin", None, "expected 7 bytes, got no such file"),
        (EXPORT_JSON, b"{", "expected what was exported, got"),
        (EXPORT_JSON, b"[]", "expected what was exported, got"),
        (EXPORT_JSON, b'{"files": {}, "model": 3}', "expected what was exported, got"),
        (EXPORT_JSON, None, "expected what was exported, got"),
    ],
)
def test_a_damaged_form_is_refused_and_can_be_written_again(
    checkpoint: Path, name: str, content: bytes | None, named: str
) -> None:
    file = write_form(checkpoint, DECODER, FACTS, fill) / name
    file.unlink()
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(MissingPart) as refused:
        find_form(checkpoint, DECODER)
    line = str(refused.value)
    assert line.startswith(f"{file}: {named}")
    assert line.endswith(f"to repair it: {DECODER.command(checkpoint)}")
    assert exported_forms(checkpoint) == []
    assert write_form(checkpoint, DECODER, FACTS, fill) == find_form(checkpoint, DECODER)


def test_a_writer_that_fails_leaves_the_earlier_form(checkpoint: Path) -> None:
    earlier = write_form(checkpoint, DECODER, FACTS, fill)

    def fail(folder: Path) -> None:
        (folder / "model.bin").write_bytes(b"half")
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        write_form(checkpoint, DECODER, FACTS, fail)
    assert find_form(checkpoint, DECODER) == earlier
    assert (earlier / "model.bin").read_bytes() == b"weights"
    assert [path.name for path in earlier.parent.iterdir()] == [earlier.name]


@pytest.mark.parametrize(
    ("name", "at", "value"),
    [("config.json", 2, b"M"), ("model.safetensors", 12, b"W"), ("model.safetensors", -9, b"\1")],
)
def test_a_changed_checkpoint_has_other_exports(
    checkpoint: Path, name: str, at: int, value: bytes
) -> None:
    before = write_form(checkpoint, DECODER, FACTS, fill)
    content = bytearray((checkpoint / name).read_bytes())
    content[at : at + 1] = value
    (checkpoint / name).write_bytes(content)
    with pytest.raises(MissingPart, match="has not been exported"):
        find_form(checkpoint, DECODER)
    assert before != exports_home(checkpoint) / DECODER.folder


def test_training_that_changes_every_weight_a_little_is_noticed(checkpoint: Path) -> None:
    write_form(checkpoint, DECODER, FACTS, fill)
    path = checkpoint / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:VALUES] + b"\0\0\0\1" * ((len(content) - VALUES) // 4))
    with pytest.raises(MissingPart, match="has not been exported"):
        find_form(checkpoint, DECODER)


def test_a_folder_without_a_checkpoint_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    (checkpoint / "model.safetensors").unlink()
    for folder in (checkpoint, tmp_path / "nowhere"):
        with pytest.raises(MissingPart, match="expected a FastVLM checkpoint, got"):
            find_form(folder, DECODER)


def test_a_home_that_cannot_be_written_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file", encoding="utf-8")
    with pytest.raises(MissingPart, match="cannot write"):
        write_form(checkpoint, DECODER, FACTS, fill)
