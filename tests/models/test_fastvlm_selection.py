"""Which runtime serves FastVLM's halves: what is asked for, or a refusal that names it."""

from pathlib import Path
from typing import Any

import pytest

from engine.core.errors import ConfigError, MissingPart
from models.fastvlm import selection as parts
from models.fastvlm.custom_checkpoint import find_checkpoint
from models.fastvlm.export.forms import Form, write_form
from models.fastvlm.greedy import Greedy
from models.fastvlm.selection import Choice, Halves, Wish, choose, open_parts

SIDE = 512


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that passes for one, with no forms yet."""
    monkeypatch.setenv("SCENE_ARIA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(parts, "_has", lambda library: True)
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"\0" * 64)
    return folder


def export(checkpoint: Path, *forms: Form) -> None:
    for form in forms:
        write_form(checkpoint, form, {}, lambda folder: None)


def chosen(checkpoint: Path, wish: Wish, device: str = "cpu", large: bool = False) -> list[str]:
    """Of the encoder, then of the decoder: `runtime precision provider`."""
    both = [choose(part, checkpoint, device, wish, SIDE, large) for part in ("encoder", "decoder")]
    return [f"{choice.runtime} {choice.precision} {choice.provider}" for choice in both]


OV_ENCODER = Form("openvino", "encoder", "fp16", SIDE)
OV_DECODER = Form("openvino", "decoder", "int8")


def test_auto_is_openvino_where_it_has_been_exported_for(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = "torch fp32 cpu"
    assert chosen(checkpoint, Wish()) == [torch, torch]
    export(checkpoint, OV_DECODER, Form("onnx", "encoder", "fp32", SIDE))
    assert chosen(checkpoint, Wish()) == [torch, "openvino int8 cpu"]
    export(checkpoint, Form("openvino", "encoder", "fp16", 256))
    assert chosen(checkpoint, Wish())[0] == torch  # of another side
    export(checkpoint, OV_ENCODER, Form("openvino", "decoder", "int4"))
    assert chosen(checkpoint, Wish()) == ["openvino fp16 cpu", "openvino int8 cpu"]
    assert chosen(checkpoint, Wish(precision="int4"))[1] == "openvino int4 cpu"
    export(checkpoint, Form("openvino", "encoder", "int8", SIDE))
    assert chosen(checkpoint, Wish()) == ["openvino fp16 cpu", "openvino int8 cpu"]
    assert chosen(checkpoint, Wish(precision="int4")) == ["openvino int8 cpu", "openvino int4 cpu"]
    assert chosen(checkpoint, Wish(precision="fp32")) == [torch, torch]
    assert chosen(checkpoint, Wish(backend="torch")) == [torch, torch]
    assert chosen(checkpoint, Wish(), "cuda") == ["torch fp16 cuda", "torch fp16 cuda"]
    monkeypatch.setattr(parts, "_has", lambda library: False)
    assert chosen(checkpoint, Wish()) == [torch, torch]


@pytest.mark.parametrize(
    ("wish", "device", "expected"),
    [
        (Wish(encoder="onnx"), "cpu", ["onnx fp32 cpu", "torch fp32 cpu"]),
        (Wish(encoder="onnx"), "cuda", ["onnx fp16 cuda", "torch fp16 cuda"]),
        (Wish(decoder="onnx", precision="q4f16"), "cuda", ["onnx q4f16 cuda"] * 2),
        (Wish(provider="tensorrt"), "cuda", ["onnx fp16 tensorrt"] * 2),
        (Wish(precision="int4"), "cpu", ["torch fp32 cpu", "openvino int4 cpu"]),
        (Wish(precision="int4"), "cuda", ["torch fp16 cuda", "torch int4 cuda"]),
        (Wish(precision="int8"), "cuda", ["onnx int8 cuda"] * 2),
        (Wish(precision="bf16"), "cpu", ["torch bf16 cpu"] * 2),
        (Wish(encoder="openvino", backend="torch"), "cpu", ["openvino bf16 cpu", "torch fp32 cpu"]),
    ],
)
def test_what_is_asked_for_is_chosen(
    checkpoint: Path, wish: Wish, device: str, expected: list[str]
) -> None:
    assert chosen(checkpoint, wish, device) == expected


def opened(checkpoint: Path, wish: Wish, device: str = "cpu") -> Halves:
    def load(dtype: Any) -> Any:
        pytest.fail("weights were loaded before the refusal")

    return open_parts(
        checkpoint, device, wish, load, Greedy(),
        side_px=SIDE, limit=8, large=False, threads=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("wish", "device", "kind", "said"),
    [
        (Wish(encoder="openvino"), "cpu", MissingPart, "encoder in bf16 for openvino .*--image-size 512"),
        (Wish(decoder="onnx"), "cpu", MissingPart, "decoder in int8 for onnx .* models export"),
        (Wish(precision="int4"), "cpu", MissingPart, "in int4 for openvino"),
        (Wish(encoder="openvino"), "cuda", ConfigError, "openvino runs on cpu, not cuda"),
        (Wish(provider="tensorrt"), "cuda", MissingPart, "ONNX on tensorrt: .*libnvinfer"),
        (Wish(encoder="onnx", decoder="onnx", provider="cuda"), "cuda", MissingPart, "onnxruntime-gpu"),
        (Wish(decoder="torch", provider="tensorrt"), "cuda", ConfigError, "expected onnx .*got torch"),
        (Wish(encoder="torch", decoder="torch", precision="int8"), "cpu", MissingPart, "torch has fp32"),
    ],
)  # fmt: skip
def test_what_is_not_here_is_refused_by_name(
    checkpoint: Path, wish: Wish, device: str, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said) as caught:
        opened(checkpoint, wish, device)
    assert "\n" not in str(caught.value)


def test_a_provider_overrides_the_device_and_is_never_swapped() -> None:
    import torch

    assert Wish(provider="cpu").device("auto") == "cpu"
    assert Wish().device("cpu") == "cpu"
    assert Wish(provider="tensorrt").device("cpu") == "cuda"
    if not torch.cuda.is_available():
        with pytest.raises(MissingPart, match=r"provider=cuda: .*libcuda"):
            Wish(provider="cuda").device("auto")


def test_halves_of_two_kinds_are_told_apart() -> None:
    none: Any = None
    onnx, torch = Choice("onnx", "fp32", "cpu"), Choice("torch", "fp32", "cpu")
    assert Halves(none, none, (onnx, torch)).told("runtime") == "onnx+torch"
    assert Halves(none, none, (onnx, torch)).told("precision") == "fp32"


def test_a_checkpoint_of_ones_own(checkpoint: Path, tmp_path: Path) -> None:
    files = find_checkpoint("auto", str(checkpoint))
    assert files.open(files.forms()["torch"]) == checkpoint
    settings = files.settings()
    assert settings["name"] == "own"
    assert settings["prompt"]
    assert not settings["large"]
    with pytest.raises(MissingPart, match=r"models\.describer\.path=.*config\.json"):
        find_checkpoint("auto", str(tmp_path / "nowhere"))
