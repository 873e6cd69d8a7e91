"""Which runtime serves each of FastVLM's halves, in which precision, on what: chosen, then opened.

Nothing is swapped in silence: what was asked for by name is opened or refused by name.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, cast

from engine.core.errors import ConfigError, MissingPart
from models.devices import choose_device, choose_dtype, precision_name
from models.fastvlm.export.forms import Form, Part, find_form, forms
from models.fastvlm.greedy import Greedy
from models.fastvlm.ports import Decoder, Encoder

TORCH = ("fp32", "fp16", "bf16")  # precisions
# With precision=auto, what is taken of the exported forms: first what writes as the weights do.
PREFERRED: dict[tuple[str, str], tuple[str, ...]] = {
    ("openvino", "encoder"): ("bf16", "fp16", "fp32", "int8"),
    ("openvino", "decoder"): ("int8", "bf16", "fp16", "fp32", "int4"),
    ("onnx", "encoder"): ("fp32", "fp16", "int8", "q4f16"),
    ("onnx", "decoder"): ("int8", "fp32", "int4", "fp16", "q4f16"),
    ("onnx on a card", "encoder"): ("fp16", "q4f16", "fp32"),
    ("onnx on a card", "decoder"): ("fp16", "q4f16"),
}


@dataclass(frozen=True)
class Wish:
    """The settings models.describer.*, each `auto` or a name, and models.backend."""

    precision: str = "auto"
    encoder: str = "auto"
    decoder: str = "auto"
    provider: str = "auto"
    backend: str = "auto"

    def device(self, of_the_others: str) -> str:
        """Where the describer runs: `provider`, else models.device. Raises MissingPart."""
        if self.provider == "auto":
            return choose_device(of_the_others)
        if self.provider == "cpu":
            return "cpu"
        if self.provider == "cuda" and "onnx" not in (self.encoder, self.decoder):
            try:
                return choose_device("cuda")
            except MissingPart:
                raise MissingPart(
                    "models.describer.provider=cuda: torch sees no graphics card: it needs NVIDIA's "
                    "driver (libcuda) and a torch built for CUDA; use cpu or auto"
                ) from None
        return "cuda"  # ONNX Runtime has libraries of its own, and says which are missing


@dataclass(frozen=True)
class Choice:
    """One half's runtime, the precision of its weights, and what runs it."""

    runtime: Literal["torch", "openvino", "onnx"]
    precision: str
    provider: str


@dataclass(frozen=True)
class Halves:
    """What serves, and how it was chosen."""

    encoder: Encoder
    decoder: Decoder
    chosen: tuple[Choice, Choice]

    def told(self, what: Literal["runtime", "precision"]) -> str:
        """`torch`, or `onnx+torch` of two different halves."""
        return "+".join(dict.fromkeys(getattr(choice, what) for choice in self.chosen))


def choose(
    part: Part, checkpoint: Path, device: str, wish: Wish, side_px: int, large: bool
) -> Choice:
    """What is to serve `part`. `auto` on a processor is OpenVINO where it is installed and has been
    exported for, else torch. Raises MissingPart, or ConfigError for what never goes together."""
    # which no encoder has: the decoder's wish
    small = part == "encoder" and wish.precision == "int4"
    if small:
        wish = replace(wish, precision="auto")
    side = side_px if part == "encoder" else None
    there = [form for form in forms(checkpoint) if form.part == part and form.side_px == side]
    runtime = _runtime(part, device, wish, there)
    if runtime == "torch":
        precision = wish.precision
        if precision == "auto":
            precision = precision_name(choose_dtype(device, large))
        return Choice("torch", precision, device)
    if runtime == "openvino" and device != "cpu":
        raise ConfigError(
            f"models.describer.{part}: openvino runs on cpu, not {device}; add "
            "models.describer.provider=cpu"
        )
    provider = "cpu"
    if runtime == "onnx" and device != "cpu":
        provider = "tensorrt" if wish.provider == "tensorrt" else "cuda"
    kind = runtime if provider == "cpu" else f"{runtime} on a card"
    order = PREFERRED[kind, part] if wish.precision == "auto" else (wish.precision,)
    if small and runtime == "openvino":  # who wants the quickest decoder wants such an encoder too
        order = ("int8", *order)
    have = [form.precision for form in there if form.runtime == runtime]
    precision = next((name for name in order if name in have), order[0])
    return Choice(cast(Any, runtime), precision, provider)


def _runtime(part: Part, device: str, wish: Wish, there: list[Form]) -> str:
    asked = wish.encoder if part == "encoder" else wish.decoder
    if asked == "auto" and wish.backend != "auto":
        asked = wish.backend
    if wish.provider == "tensorrt":
        if asked not in ("auto", "onnx"):
            raise ConfigError(
                f"models.describer.provider: tensorrt is ONNX Runtime's, expected onnx for the {part}, "
                f"got {asked}"
            )
        return "onnx"
    if asked != "auto":
        return asked
    fits = [form for form in there if wish.precision in ("auto", form.precision)]
    if device == "cpu" and any(form.runtime == "openvino" for form in fits) and _has("openvino"):
        return "openvino"
    if wish.precision in ("auto", *TORCH) or (wish.precision == "int4" and device == "cuda"):
        return "torch"
    return "openvino" if device == "cpu" and wish.precision != "q4f16" else "onnx"


def _has(library: str) -> bool:
    return find_spec(library) is not None


def open_parts(
    checkpoint: Path,
    device: str,
    wish: Wish,
    load: Callable[[Any], Any],
    greedy: Greedy,
    *,
    side_px: int,
    limit: int,
    large: bool,
    threads: int | None,
) -> Halves:
    """Both halves, open. `load` gives transformers' model in a torch dtype, and is called at most
    once: not at all where neither half is torch's. Raises MissingPart and ConfigError, and what the
    runtimes raise."""
    encoder, decoder = (
        choose(part, checkpoint, device, wish, side_px, large) for part in ("encoder", "decoder")
    )
    for part, choice in (("encoder", encoder), ("decoder", decoder)):
        if choice.runtime == "onnx":
            from models.fastvlm.onnx.runtime import check_provider

            check_provider(cast(Any, choice.provider))
        if choice.runtime != "torch":  # before anything is loaded
            side = side_px if part == "encoder" else None
            find_form(
                checkpoint,
                Form(choice.runtime, cast(Part, part), choice.precision, side),
            )
    model = None
    if "torch" in (encoder.runtime, decoder.runtime):
        model = _load(load, encoder, decoder)
    return Halves(
        _open_encoder(encoder, checkpoint, model, side_px, threads),
        _open_decoder(decoder, checkpoint, model, greedy, limit, threads),
        (encoder, decoder),
    )


def _load(load: Callable[[Any], Any], encoder: Choice, decoder: Choice) -> Any:
    """The model in the precision of torch's halves, without a half that another runtime serves."""
    from models.fastvlm.torch.cuda_graphs import dtype_of

    halves = [choice for choice in (encoder, decoder) if choice.runtime == "torch"]
    model = load(dtype_of(halves[0].precision))
    if encoder.runtime != "torch":
        del model.model.vision_tower, model.model.multi_modal_projector
    if decoder.runtime != "torch":
        del model.model.language_model, model.lm_head
    return model


def _open_encoder(
    choice: Choice, checkpoint: Path, model: Any, side_px: int, threads: int | None
) -> Encoder:
    precision = choice.precision
    library = import_module(f"models.fastvlm.{choice.runtime}.runtime")  # imports what it runs on
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
