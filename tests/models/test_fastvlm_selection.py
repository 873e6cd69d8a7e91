"""The runtimes of FastVLM's encoder and decoder: what was requested, or a refusal that names it."""

from pathlib import Path
from typing import Any

import pytest

from engine.core.errors import ConfigError, MissingPart
from models.fastvlm import selection
from models.fastvlm.custom_checkpoint import find_checkpoint
from models.fastvlm.export.writer import write_form
from models.fastvlm.forms import Form
from models.fastvlm.greedy import Greedy
from models.fastvlm.selection import Choice, DescriberOptions, EncoderDecoder, choose, open_parts

pytestmark = pytest.mark.weights  # torch chooses devices and dtypes
SIDE = 512


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that passes for a checkpoint, without exported forms."""
    monkeypatch.setenv("SCENE_ARIA_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(selection, "find_spec", lambda library: library)
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "config.json").write_text("{}", encoding="utf-8")
    (folder / "model.safetensors").write_bytes(b"\0" * 64)
    return folder


def export(checkpoint: Path, *forms: Form) -> None:
    for form in forms:
        write_form(checkpoint, form, {}, lambda folder: None)


def chosen(
    checkpoint: Path, options: DescriberOptions, device: str = "cpu", large: bool = False
) -> list[str]:
    """`runtime precision provider` of the encoder and of the decoder."""
    both = [
        choose(part, checkpoint, device, options, SIDE, large) for part in ("encoder", "decoder")
    ]
    return [f"{choice.runtime} {choice.precision} {choice.provider}" for choice in both]


OV_ENCODER = Form("openvino", "encoder", "fp16", SIDE)
OV_DECODER = Form("openvino", "decoder", "int8")


def test_auto_is_openvino_for_exported_forms(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = "torch fp32 cpu"
    assert chosen(checkpoint, DescriberOptions()) == [torch, torch]
    export(checkpoint, OV_DECODER, Form("onnx", "encoder", "fp32", SIDE))
    assert chosen(checkpoint, DescriberOptions()) == [torch, "openvino int8 cpu"]
    export(checkpoint, Form("openvino", "encoder", "fp16", 256))
    assert chosen(checkpoint, DescriberOptions())[0] == torch  # of another image size
    export(checkpoint, OV_ENCODER, Form("openvino", "decoder", "int4"))
    assert chosen(checkpoint, DescriberOptions()) == ["openvino fp16 cpu", "openvino int8 cpu"]
    assert chosen(checkpoint, DescriberOptions(precision="int4"))[1] == "openvino int4 cpu"
    export(checkpoint, Form("openvino", "encoder", "int8", SIDE))
    assert chosen(checkpoint, DescriberOptions()) == ["openvino fp16 cpu", "openvino int8 cpu"]
    assert chosen(checkpoint, DescriberOptions(precision="int4")) == [
        "openvino int8 cpu",
        "openvino int4 cpu",
    ]
    assert chosen(checkpoint, DescriberOptions(precision="fp32")) == [torch, torch]
    assert chosen(checkpoint, DescriberOptions(runtime="torch")) == [torch, torch]
    assert chosen(checkpoint, DescriberOptions(), "cuda") == ["torch fp16 cuda", "torch fp16 cuda"]
    monkeypatch.setattr(selection, "find_spec", lambda library: None)
    assert chosen(checkpoint, DescriberOptions()) == [torch, torch]


@pytest.mark.parametrize(
    ("options", "device", "expected"),
    [
        (DescriberOptions(encoder="onnx"), "cpu", ["onnx fp32 cpu", "torch fp32 cpu"]),
        (DescriberOptions(encoder="onnx"), "cuda", ["onnx fp16 cuda", "torch fp16 cuda"]),
        (DescriberOptions(decoder="onnx", precision="q4f16"), "cuda", ["onnx q4f16 cuda"] * 2),
        (DescriberOptions(provider="tensorrt"), "cuda", ["onnx fp16 tensorrt"] * 2),
        (DescriberOptions(runtime="tensorrt"), "cuda", ["onnx fp16 tensorrt"] * 2),
        (DescriberOptions(runtime="onnx"), "cpu", ["onnx fp32 cpu", "onnx int8 cpu"]),
        (DescriberOptions(precision="int4"), "cpu", ["torch fp32 cpu", "openvino int4 cpu"]),
        (DescriberOptions(precision="int4"), "cuda", ["torch fp16 cuda", "torch int4 cuda"]),
        (DescriberOptions(precision="int8"), "cuda", ["onnx int8 cuda"] * 2),
        (DescriberOptions(precision="bf16"), "cpu", ["torch bf16 cpu"] * 2),
        (
            DescriberOptions(encoder="openvino", runtime="torch"),
            "cpu",
            ["openvino bf16 cpu", "torch fp32 cpu"],
        ),
    ],
)
def test_the_requested_runtime_is_chosen(
    checkpoint: Path, options: DescriberOptions, device: str, expected: list[str]
) -> None:
    assert chosen(checkpoint, options, device) == expected


def opened(checkpoint: Path, options: DescriberOptions, device: str = "cpu") -> EncoderDecoder:
    def load(dtype: Any) -> Any:
        pytest.fail("weights were loaded before the refusal")

    return open_parts(
        checkpoint, device, options, load, Greedy(),
        side_px=SIDE, limit=8, large=False, threads=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("options", "device", "kind", "said"),
    [
        (
            DescriberOptions(encoder="openvino"),
            "cpu",
            MissingPart,
            "encoder in bf16 for openvino .*--image-size 512",
        ),
        (
            DescriberOptions(decoder="onnx"),
            "cpu",
            MissingPart,
            "decoder in int8 for onnx .* models export",
        ),
        (DescriberOptions(precision="int4"), "cpu", MissingPart, "in int4 for openvino"),
        (
            DescriberOptions(encoder="openvino"),
            "cuda",
            ConfigError,
            "openvino runs on cpu, not cuda",
        ),
        (
            DescriberOptions(provider="tensorrt"),
            "cuda",
            MissingPart,
            "ONNX on tensorrt: .*libnvinfer",
        ),
        (
            DescriberOptions(encoder="onnx", decoder="onnx", provider="cuda"),
            "cuda",
            MissingPart,
            "onnxruntime-gpu",
        ),
        (
            DescriberOptions(decoder="torch", provider="tensorrt"),
            "cuda",
            ConfigError,
            "expected onnx .*got torch",
        ),
        (
            DescriberOptions(encoder="torch", decoder="torch", precision="int8"),
            "cpu",
            MissingPart,
            "torch has fp32",
        ),
    ],
)
def test_a_missing_part_is_refused_by_name(
    checkpoint: Path, options: DescriberOptions, device: str, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said) as caught:
        opened(checkpoint, options, device)
    assert "\n" not in str(caught.value)


def test_a_provider_overrides_the_device_and_is_never_replaced() -> None:
    import torch

    assert DescriberOptions(provider="cpu").device("auto") == "cpu"
    assert DescriberOptions().device("cpu") == "cpu"
    assert DescriberOptions(provider="tensorrt").device("cpu") == "cuda"
    assert DescriberOptions(runtime="tensorrt").device("cpu") == "cuda"
    if not torch.cuda.is_available():
        with pytest.raises(MissingPart, match=r"provider=cuda: .*libcuda"):
            DescriberOptions(provider="cuda").device("auto")


def test_the_label_names_both_runtimes() -> None:
    none: Any = None
    onnx, torch = Choice("onnx", "fp32", "cpu"), Choice("torch", "fp32", "cpu")
    assert EncoderDecoder(none, none, (onnx, torch)).label("runtime") == "onnx+torch"
    assert EncoderDecoder(none, none, (onnx, torch)).label("precision") == "fp32"


def test_a_custom_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    files = find_checkpoint("auto", str(checkpoint))
    assert files.open(files.forms()["torch"]) == checkpoint
    settings = files.settings()
    assert settings["name"] == "own"
    assert settings["prompt"]
    assert not settings["large"]
    with pytest.raises(MissingPart, match=r"models\.describer\.path=.*config\.json"):
        find_checkpoint("auto", str(tmp_path / "nowhere"))
