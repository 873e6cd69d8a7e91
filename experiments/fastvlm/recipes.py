"""All recipes that are compared: the baseline and ours, for each runtime and precision."""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from subprocess import run
from typing import Any

from engine.core.errors import MissingPart
from experiments.fastvlm.baseline import EncodedOnce, Generate, compiled_cache
from experiments.fastvlm.bench import (
    Bench,
    OpenRecipe,
    Question,
    Stamps,
    TimedAnswer,
    blocks,
    eager_precision,
)
from models.fastvlm.forms import Form, Part, Runtime, find_form
from models.fastvlm.onnx.runtime import Provider, check_provider

BACKENDS = ("baseline", "torch", "openvino", "onnx", "hybrid", "tensorrt", "quick")
BASELINE, ENCODED_ONCE, CACHED = (
    "generate, no cache",
    "no cache, encoded once",
    "generate, with cache",
)
COMPILED, STATIC = "torch.compile, no cache", "generate, static cache, compiled"


@dataclass(frozen=True)
class Recipe:
    """One way to generate tokens from an image. `precisions`: of the encoder's and the decoder's
    weights.
    """

    name: str
    backend: str
    precisions: tuple[str, str]
    open: Callable[[Bench], OpenRecipe]
    forms: tuple[tuple[Runtime, Part, str], ...] = ()  # runtime, part and precision of its exports
    provider: Provider = "cpu"  # of ONNX Runtime, if it runs either part


class PairedRecipe:
    """Any encoder followed by any decoder."""

    def __init__(self, bench: Bench, encoder: Callable[[int], Any], decoder: Any) -> None:
        self._bench, self._open_encoder, self._decoder = bench, encoder, decoder
        self._encoder: Any = None
        self.streams = decoder.provider == "cpu"  # a graphics card returns its tokens in bursts

    def prepare(self, question: Question) -> None:
        self._encoder = None  # two encoders at once would double the memory
        self._encoder = self._open_encoder(question.side_px)

    def answer(self, question: Question, count: int) -> TimedAnswer:
        stamps = Stamps(self._bench.device)
        features = self._encoder.encode(question.pixels)
        encoded_ms = stamps.now(wait=False)  # encoders return when the features are ready
        tokens, known = [], []
        for token in self._decoder.write(question.ids, features, count):
            known.append(stamps.now(wait=False))
            tokens.append(token)
        return TimedAnswer(tuple(tokens), encoded_ms, tuple(known))

    def note(self) -> str:
        where = {half.provider for half in (self._encoder, self._decoder)}
        return "" if where == {self._bench.device} else f"on {' and '.join(sorted(where))}"


class TemplateTier:
    """The pocket pack's quick tier: a scene class by FastViT and a template. It does not describe
    the image and serves as a comparison, since the original analysis kept it as the alternative.
    Its only `token` is the sentence.
    """

    streams = True

    def __init__(self, bench: Bench) -> None:
        from engine.language.wording import Words
        from models.scenes import open_scenes

        self._bench = bench
        self._scenes = open_scenes("pocket", bench.device)
        self._words = Words("en", "meters", "sides")

    def prepare(self, question: Question) -> None:
        """It has a fixed image size."""

    def answer(self, question: Question, count: int) -> TimedAnswer:
        from engine.core.camera import Frame
        from engine.core.glance import Glance

        frame = Frame(blocks(), 0.0, 0)
        stamps = Stamps(self._bench.device)
        scene = self._scenes.classify(frame)
        seen_ms = stamps.now()
        self._words.describe(Glance(frame, (), scene))
        return TimedAnswer((0,) * count, seen_ms, (stamps.now(),) * count)

    def note(self) -> str:
        return "a class and a template: no description, no tokens"


def recipes(device: str, backends: tuple[str, ...], compile_static: bool) -> list[Recipe]:
    """The recipes of `backends` for `device`. A recipe with missing parts says so when it is
    opened.
    """
    found = [*_baseline(device, compile_static), *_torch(device), *_exported(device)]
    found.append(Recipe("FastViT and templates", "quick", ("fp32", "fp32"), TemplateTier))
    return [recipe for recipe in found if recipe.backend in backends]


def _baseline(device: str, compile_static: bool) -> Iterator[Recipe]:
    half = eager_precision(device)
    both = (half, half)

    def row(name: str, **how: Any) -> Recipe:
        return Recipe(name, "baseline", both, lambda bench: Generate(bench, **how))

    yield row(BASELINE, options={"use_cache": False})
    yield Recipe(ENCODED_ONCE, "baseline", both, lambda bench: EncodedOnce(bench, {}))
    yield row(CACHED, options={"use_cache": True})
    yield row(COMPILED, options={"use_cache": False}, compiled=True)
    if compile_static:
        yield Recipe(STATIC, "baseline", both, lambda bench: Generate(bench, compiled_cache()))


def _torch(device: str) -> Iterator[Recipe]:
    if device == "cuda":  # the same with torch's operations instead of Triton's kernels
        yield Recipe(
            "torch fp16, captured, no Triton", "torch", ("fp16", "fp16"),
            lambda bench: PairedRecipe(
                bench, _torch_encoder(bench, "fp16"), _torch_decoder(bench, "fp16", "fp16", False)
            ),
        )  # fmt: skip
    for precision in ("fp16", "int4") if device == "cuda" else ("fp32", "bf16"):
        # Only the decoder's weights go below half precision: most of the bytes are there.
        half = precision if precision in ("fp32", "fp16", "bf16") else eager_precision(device)
        captured = ", captured" if device == "cuda" else ""
        yield Recipe(
            f"torch {precision}{captured}", "torch", (half, precision),
            lambda bench, h=half, p=precision: PairedRecipe(  # type: ignore[misc]
                bench, _torch_encoder(bench, h, p), _torch_decoder(bench, p, h)
            ),
        )  # fmt: skip


def _exported(device: str) -> Iterator[Recipe]:
    provider: Provider = "cuda" if device == "cuda" else "cpu"
    pairs: dict[Runtime, tuple[tuple[str, str], ...]] = {
        "openvino": (
            ("bf16", "bf16"),
            ("bf16", "int8"),
            ("bf16", "int4"),
            ("int8", "int8"),
            ("int8", "int4"),
        ),
        "onnx": (("fp32", "fp32"), ("fp16", "fp16"), ("int8", "int8"), ("q4f16", "int4")),
    }
    if device == "cuda":  # on which ONNX's decoder runs in half precision only
        pairs = {"onnx": (("fp16", "fp16"), ("q4f16", "q4f16"))}
    for runtime, precisions in pairs.items():
        for encoder, decoder in precisions:
            both = decoder if encoder == decoder else f"{encoder}+{decoder}"
            yield _of_forms(runtime, f"{runtime} {both}", runtime, encoder, decoder, provider)
    half = eager_precision(device)
    precision = "fp16" if device == "cuda" else "fp32"
    yield Recipe(
        f"hybrid: onnx {precision} encoder, torch {half}", "hybrid", (precision, half),
        lambda bench: PairedRecipe(
            bench, _onnx_encoder(bench, precision, provider), _torch_decoder(bench, half, half)
        ),
        (("onnx", "encoder", precision),), provider,
    )  # fmt: skip
    yield _of_forms("tensorrt", "TensorRT fp16", "onnx", "fp16", "fp16", "tensorrt")


def _of_forms(
    backend: str, name: str, runtime: Runtime, encoder: str, decoder: str, provider: Provider
) -> Recipe:
    """Encoder and decoder as exported forms, for one runtime and provider."""

    def opened(bench: Bench) -> OpenRecipe:
        if runtime == "openvino":
            from models.fastvlm.openvino import runtime as parts

            return PairedRecipe(
                bench,
                lambda side: parts.open_encoder(bench.folder, encoder, side, bench.threads),
                parts.open_decoder(bench.folder, decoder, bench.greedy(), bench.threads),
            )
        from models.fastvlm.onnx.runtime import open_decoder

        check_provider(provider)
        return PairedRecipe(
            bench,
            _onnx_encoder(bench, encoder, provider),
            open_decoder(bench.folder, decoder, provider, bench.greedy(), bench.threads),
        )

    forms: tuple[tuple[Runtime, Part, str], ...] = (
        (runtime, "encoder", encoder),
        (runtime, "decoder", decoder),
    )
    return Recipe(name, backend, (encoder, decoder), opened, forms, provider)


def _onnx_encoder(bench: Bench, precision: str, provider: Provider) -> Callable[[int], Any]:
    from models.fastvlm.onnx.runtime import open_encoder

    check_provider(provider)
    return lambda side: open_encoder(bench.folder, precision, side, provider, bench.threads)


def _torch_encoder(
    bench: Bench, precision: str, decoder_precision: str = ""
) -> Callable[[int], Any]:
    """`decoder_precision`: quantizing the decoder may modify the model, which is then not shared."""
    from models.fastvlm.torch.runtime import open_encoder

    use = _use(decoder_precision)
    return lambda side: open_encoder(bench.model(precision, use), bench.device, precision, side)


def _torch_decoder(bench: Bench, precision: str, loaded: str, kernels: bool | None = None) -> Any:
    from models.fastvlm.torch.runtime import open_decoder

    model = bench.model(loaded, _use(precision))
    return open_decoder(
        model, bench.device, precision, bench.greedy(), limit=bench.limit, kernels=kernels
    )


def _use(precision: str) -> str:
    return "ours, rounded" if precision == "int4" else "ours"


def missing_forms(bench: Bench, recipe: Recipe, sides: tuple[int, ...]) -> list[Form]:
    """The forms that `recipe` needs and that have not been exported yet."""
    if recipe.provider != "cpu":
        try:
            check_provider(recipe.provider)
        except MissingPart:
            return []  # its row will say so
    wanted = [
        Form(runtime, part, precision, side)
        for runtime, part, precision in recipe.forms
        for side in (sides if part == "encoder" else (None,))
    ]
    found = []
    for form in wanted:
        try:
            find_form(bench.folder, form)
        except MissingPart:
            found.append(form)
    return found


def export(bench: Bench, forms: Sequence[Form]) -> list[str]:
    """Export forms of one runtime and part, all precisions at all sizes; returns its output lines.
    Runs in a separate process, so that its memory does not count here.
    """
    sides = [str(form.side_px) for form in forms if form.side_px is not None]
    precisions = dict.fromkeys(form.precision for form in forms)
    done = run(
        [
            sys.executable, "-m", "models", "export", "--checkpoint", str(bench.folder),
            "--runtime", forms[0].runtime, "--part", forms[0].part,
            "--precision", ",".join(precisions),
            *(["--image-size", ",".join(dict.fromkeys(sides))] if sides else []),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    output_lines = done.stdout.strip().splitlines()[1:]  # the first line names the folders
    return output_lines + (done.stderr.strip().splitlines()[-1:] if done.returncode else [])
