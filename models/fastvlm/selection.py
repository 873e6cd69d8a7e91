"""Chooses the runtime, precision and device of FastVLM's encoder and decoder, and opens both.

A runtime, precision or provider that was requested by name is never replaced: it is opened or
refused.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

from engine.core.errors import ConfigError, MissingPart
from models.devices import choose_device, choose_dtype, precision_name
from models.fastvlm.forms import Form, Part, exported_forms, find_form
from models.fastvlm.greedy import Greedy
from models.fastvlm.ports import Decoder, Encoder

TORCH_PRECISIONS = ("fp32", "fp16", "bf16")
# With precision=auto, the first exported form in this order is used. Those that give the same
# tokens as the original weights come first.
PREFERRED: dict[tuple[str, str], tuple[str, ...]] = {
    ("openvino", "encoder"): ("bf16", "fp16", "fp32", "int8"),
    ("openvino", "decoder"): ("int8", "bf16", "fp16", "fp32", "int4"),
    ("onnx", "encoder"): ("fp32", "fp16", "int8", "q4f16"),
    ("onnx", "decoder"): ("int8", "fp32", "int4", "fp16", "q4f16"),
    ("onnx on a GPU", "encoder"): ("fp16", "q4f16", "fp32"),
    ("onnx on a GPU", "decoder"): ("fp16", "q4f16"),
}


@dataclass(frozen=True)
class DescriberOptions:
    """The runtime and precision that the settings ask for; every field is `auto` or a name.

    `encoder`, `decoder` and `provider` are the deprecated settings of one part and of ONNX Runtime:
    they will be removed in the next version.
    """

    runtime: str = "auto"  # models.describer.runtime, else models.backend
    precision: str = "auto"  # of the weights
    encoder: str = "auto"
    decoder: str = "auto"
    provider: str = "auto"

    @property
    def uses_tensorrt(self) -> bool:
        return "tensorrt" in (self.runtime, self.provider)

    def runtime_of(self, part: Part) -> str:
        """`auto`, `torch`, `openvino` or `onnx`. Raises ConfigError for TensorRT with another."""
        requested = self.encoder if part == "encoder" else self.decoder
        if requested == "auto":
            requested = self.runtime
        if not self.uses_tensorrt:
            return requested
        if requested not in ("auto", "onnx", "tensorrt"):
            raise ConfigError(
                "models.describer.provider: tensorrt is ONNX Runtime's, expected onnx for the "
                f"{part}, got {requested}"
            )
        return "onnx"

    def device(self, models_device: str) -> str:
        """The device that the describer runs on: models.device unless these options name another.

        ONNX Runtime has CUDA libraries of its own and names the missing one, so torch is not asked
        for it. Raises MissingPart for a missing device.
        """
        if self.uses_tensorrt:
            return "cuda"
        if self.provider == "auto":
            return choose_device(models_device)
        if self.provider == "cuda" and "onnx" not in (
            self.runtime_of("encoder"),
            self.runtime_of("decoder"),
        ):
            try:
                return choose_device("cuda")
            except MissingPart:
                raise MissingPart(
                    "models.describer.provider=cuda: torch sees no graphics card: it needs NVIDIA's "
                    "driver (libcuda) and a torch built for CUDA; use cpu or auto"
                ) from None
        return self.provider


@dataclass(frozen=True)
class Choice:
    """The runtime, weight precision and provider of an encoder or decoder."""

    runtime: Literal["torch", "openvino", "onnx"]
    precision: str
    provider: str


@dataclass(frozen=True)
class EncoderDecoder:
    """An opened encoder and decoder, with the choices that led to them."""

    encoder: Encoder
    decoder: Decoder
    choices: tuple[Choice, Choice]

    def label(self, field: Literal["runtime", "precision"]) -> str:
        """`torch`, or `onnx+torch` if encoder and decoder differ."""
        return "+".join(dict.fromkeys(getattr(choice, field) for choice in self.choices))


def choose(
    part: Part, checkpoint: Path, device: str, options: DescriberOptions, side_px: int, large: bool
) -> Choice:
    """The runtime, precision and provider of `part`. On a CPU, `auto` is OpenVINO if it is
    installed and has an exported form, else torch. Raises MissingPart, and ConfigError for an
    impossible combination."""
    # No encoder has int4: only the decoder gets it.
    int4_requested = part == "encoder" and options.precision == "int4"
    if int4_requested:
        options = replace(options, precision="auto")
    side = side_px if part == "encoder" else None
    exported = [
        form for form in exported_forms(checkpoint) if form.part == part and form.side_px == side
    ]
    runtime = _choose_runtime(part, device, options, exported)
    if runtime == "torch":
        precision = options.precision
        if precision == "auto":
            precision = precision_name(choose_dtype(device, large))
        return Choice("torch", precision, device)
    if runtime == "openvino" and device != "cpu":
        raise ConfigError(
            f"models.describer.runtime: openvino runs on cpu, not {device}; add models.device=cpu"
        )
    provider = "cpu"
    if runtime == "onnx" and device != "cpu":
        provider = "tensorrt" if options.uses_tensorrt else "cuda"
    kind = runtime if provider == "cpu" else f"{runtime} on a GPU"
    order = PREFERRED[kind, part] if options.precision == "auto" else (options.precision,)
    if int4_requested and runtime == "openvino":  # the fastest encoder for the fastest decoder
        order = ("int8", *order)
    available = [form.precision for form in exported if form.runtime == runtime]
    precision = next((name for name in order if name in available), order[0])
    return Choice(cast(Any, runtime), precision, provider)


def _choose_runtime(
    part: Part, device: str, options: DescriberOptions, exported: list[Form]
) -> str:
    requested, precision = options.runtime_of(part), options.precision
    if requested != "auto":
        return requested
    runtimes = {form.runtime for form in exported if precision in ("auto", form.precision)}
    if device == "cpu" and "openvino" in runtimes and find_spec("openvino") is not None:
        return "openvino"
    if precision in ("auto", *TORCH_PRECISIONS) or (precision == "int4" and device == "cuda"):
        return "torch"
    return "openvino" if device == "cpu" and precision != "q4f16" else "onnx"


def open_parts(
    checkpoint: Path,
    device: str,
    options: DescriberOptions,
    load: Callable[[Any], Any],
    greedy: Greedy,
    *,
    side_px: int,
    limit: int,
    large: bool,
    threads: int | None,
    check: Callable[[Path], object] = lambda folder: None,
) -> EncoderDecoder:
    """Choose and open the encoder and the decoder.

    `load` gives transformers' model in a torch dtype. It is called at most once, and only if torch
    runs the encoder or the decoder. `check` is called with the folder of each exported form before
    it is opened. Raises MissingPart and ConfigError, and what the runtimes and `check` raise.
    """
    encoder, decoder = (
        choose(part, checkpoint, device, options, side_px, large) for part in ("encoder", "decoder")
    )
    for part, choice in (("encoder", encoder), ("decoder", decoder)):
        if choice.runtime == "onnx":
            from models.fastvlm.onnx.runtime import check_provider

            check_provider(cast(Any, choice.provider))
        if choice.runtime != "torch":  # a missing form is reported before anything is loaded
            side = side_px if part == "encoder" else None
            form = Form(choice.runtime, cast(Part, part), choice.precision, side)
            check(find_form(checkpoint, form))
    model = None
    if "torch" in (encoder.runtime, decoder.runtime):
        model = _load_for_torch(load, encoder, decoder)
    return EncoderDecoder(
        _open_encoder(encoder, checkpoint, model, side_px, threads),
        _open_decoder(decoder, checkpoint, model, greedy, limit, threads),
        (encoder, decoder),
    )


def _load_for_torch(load: Callable[[Any], Any], encoder: Choice, decoder: Choice) -> Any:
    """The model in the precision that torch needs, without the part that another runtime runs."""
    from models.fastvlm.torch.cuda_graphs import dtype_of

    by_torch = [choice for choice in (encoder, decoder) if choice.runtime == "torch"]
    model = load(dtype_of(by_torch[0].precision))
    if encoder.runtime != "torch":
        del model.model.vision_tower, model.model.multi_modal_projector
    if decoder.runtime != "torch":
        del model.model.language_model, model.lm_head
    return model


def _open_encoder(
    choice: Choice, checkpoint: Path, model: Any, side_px: int, threads: int | None
) -> Encoder:
    precision = choice.precision
    library = import_module(f"models.fastvlm.{choice.runtime}.runtime")
    if choice.runtime == "torch":
        return cast(Encoder, library.open_encoder(model, choice.provider, precision, side_px))
    if choice.runtime == "onnx":
        opened = library.open_encoder(checkpoint, precision, side_px, choice.provider, threads)
        return cast(Encoder, opened)
    return cast(Encoder, library.open_encoder(checkpoint, precision, side_px, threads))


def _open_decoder(
    choice: Choice,
    checkpoint: Path,
    model: Any,
    greedy: Greedy,
    limit: int,
    threads: int | None,
) -> Decoder:
    precision = choice.precision
    library = import_module(f"models.fastvlm.{choice.runtime}.runtime")
    if choice.runtime == "torch":
        opened = library.open_decoder(model, choice.provider, precision, greedy, limit=limit)
    elif choice.runtime == "onnx":
        opened = library.open_decoder(checkpoint, precision, choice.provider, greedy, threads)
    else:
        opened = library.open_decoder(checkpoint, precision, greedy, threads)
    return cast(Decoder, opened)
