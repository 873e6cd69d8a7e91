"""FastVLM's encoder and decoder in OpenVINO on a CPU, from files that `python -m models export`
wrote.

Weights in fp32 and fp16 are computed in fp32, so that the answers are the same as torch's. With
other weights, an encoder uses bf16 if the processor has it, and a decoder the arithmetic that was
fastest when it was exported. Knows nothing of images, prompts or text.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.errors import DescriberFailed, MissingPart, in_one_line
from models.fastvlm.decoder_inputs import check_decoder_inputs, features_as_numpy
from models.fastvlm.forms import EXPORT_JSON, Form, find_form, read_export, read_facts
from models.fastvlm.greedy import Greedy
from models.fastvlm.openvino.weights import GROUP
from models.runtime.compiled import compile_model, compiled_home, core
from models.runtime.graphs import WEIGHTS_IN, StoredGraph
from models.runtime.memory import is_out_of_memory, release_memory
from models.runtime.requests import StoppableRequest

GRAPH, WEIGHTS = "model.xml", "model.bin"
# A larger network is compiled at every start. Most of its time is spent on packing the weights at
# the first run, which a kept one repeats; and keeping it takes as much memory as the weights.
KEPT_BYTES = 200_000_000
ARITHMETIC_JSON = "arithmetic.json"  # in a decoder's folder
EXACT = ("fp32", "fp16")
# Neighbouring activations that share a scale where the processor multiplies in 8 bits (VNNI). Wider
# groups are faster, but must not exceed those of the weights and must divide the length of every
# row.
ACTIVATION_GROUP = {"int8": 128, "int4": GROUP}
# Prompt rows processed in one block. With bf16 on AVX-512, one more row makes the whole block 1.5
# times slower.
PROMPT_BLOCK = 64


@dataclass(frozen=True)
class Arithmetic:
    """The arithmetic of a decoder: OpenVINO's `number` type (`f32` or `bf16`), and how many prompt
    rows it processes in one block (None: all)."""

    number: str
    block: int | None


def open_encoder(
    checkpoint: Path, precision: str, side_px: int, threads: int | None = None
) -> "OpenVinoEncoder":
    """The exported encoder, warmed up. Raises MissingPart if it is missing or damaged."""
    form = Form("openvino", "encoder", precision, side_px)
    folder = find_form(checkpoint, form)
    number = "bf16" if precision not in EXACT and has_bf16() else "f32"
    with _naming_the_remedy(form, checkpoint, folder):
        graph = compiled(folder, precision, number, threads)
    encoder = OpenVinoEncoder(graph, precision, side_px)
    release_memory(folder, compiled_home())
    return encoder


def open_decoder(
    checkpoint: Path, precision: str, greedy: Greedy, threads: int | None = None
) -> "OpenVinoDecoder":
    """The exported decoder, warmed up. Raises MissingPart if it is missing or damaged."""
    form = Form("openvino", "decoder", precision)
    folder = find_form(checkpoint, form)
    with _naming_the_remedy(form, checkpoint, folder):
        arithmetic = Arithmetic(
            **json.loads((folder / ARITHMETIC_JSON).read_text(encoding="utf-8"))
        )
        graph = compiled(folder, precision, arithmetic.number, threads)
    decoder = OpenVinoDecoder(graph, precision, read_facts(folder), greedy, arithmetic)
    release_memory(folder, compiled_home())
    return decoder


class OpenVinoEncoder:
    """An `Encoder`; to be used from one thread."""

    provider = "cpu"

    def __init__(self, graph: Any, precision: str, side_px: int) -> None:
        self.precision = precision
        self.side_px = side_px
        self._request = StoppableRequest(graph, DescriberFailed)
        self.encode(np.zeros((1, 3, side_px, side_px), np.float32))

    def encode(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Encoder`."""
        features: NDArray[np.float32] = self._request.infer(
            [np.ascontiguousarray(pixels, np.float32)]
        ).copy()
        return features

    def stop(self) -> None:
        """See `Encoder`."""
        self._request.stop()


class OpenVinoDecoder:
    """A `Decoder`; to be used from one thread. `facts`: see `forms.read_facts`."""

    provider = "cpu"

    def __init__(
        self,
        graph: Any,
        precision: str,
        facts: dict[str, Any],
        greedy: Greedy,
        arithmetic: Arithmetic,
    ) -> None:
        self.precision = precision
        self._request = StoppableRequest(graph, DescriberFailed)
        self._greedy = greedy
        self._context = int(facts["context"])
        self.prompt_block = arithmetic.block or self._context
        self._image_id = int(facts["image_token_index"])
        self._no_features = np.zeros((1, int(facts["hidden_size"])), np.float32)
        size = int(facts["head_size"])
        # The frequencies of the rotary position embedding, in radians per token
        self._frequencies = float(facts["rope_theta"]) ** -(np.arange(0, size, 2) / size)
        self._prefix: tuple[int, ...] = ()  # the part of the last prompt before the image
        self._prefix_cache: list[Any] = []  # its keys and values
        self._read([0, self._image_id], self._no_features)
        self._step([0], self._no_features, 2)

    def stop(self) -> None:
        """See `Decoder`."""
        self._request.stop()

    def write(self, ids: Sequence[int], features: Any, limit: int) -> Iterator[int]:
        """See `Decoder`. Raises DescriberFailed if the numbers of image tokens and features
        differ."""
        check_decoder_inputs(ids, features, limit, context=self._context, image_id=self._image_id)
        return self._generate(list(ids), features_as_numpy(features), limit)

    def _generate(self, ids: list[int], rows: NDArray[np.float32], limit: int) -> Iterator[int]:
        for written in range(limit):
            if written == 0:
                logits = self._read(ids, rows)
            else:
                logits = self._step(ids[-1:], self._no_features, len(ids) - 1)
            token = self._greedy.choose(logits, ids)
            yield token
            if token in self._greedy.ends:
                return
            ids.append(token)

    def _read(self, ids: list[int], rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits after a whole prompt; the cache of the last prompt is dropped. The part before the
        image is the same in most prompts: its cache is reused unless it has changed."""
        start = ids.index(self._image_id) if self._image_id in ids else 0
        self._read_prefix(tuple(ids[:start]))
        blocks_end = len(ids) - (len(ids) - start) % self.prompt_block
        seen, logits = 0, np.empty(0, np.float32)
        for first, end in ((start, blocks_end), (blocks_end, len(ids))):
            if block := ids[first:end]:
                places = block.count(self._image_id)
                features = rows[seen : seen + places] if places else self._no_features
                logits = self._step(block, features, first)
                seen += places
        return logits

    def _read_prefix(self, prefix: tuple[int, ...]) -> None:
        """Set the cache to that of `prefix` alone."""
        import openvino as ov

        if prefix and prefix == self._prefix:
            for state, cached in zip(self._request.states(), self._prefix_cache, strict=True):
                state.state = cached
            return
        self._prefix = ()
        self._request.reset_state()
        if prefix:
            self._step(list(prefix), self._no_features, 0)
            self._prefix_cache = [ov.Tensor(state.state.data) for state in self._request.states()]
            self._prefix = prefix

    def _step(self, new: list[int], rows: NDArray[np.float32], start: int) -> NDArray[np.float32]:
        """Logits (vocabulary,) after the tokens `new`, which begin at position `start`. The array
        is valid until the next step."""
        positions = np.arange(start, start + len(new))
        angles = np.tile(positions[:, None] * self._frequencies, 2)  # (T, head)
        later = np.arange(start + len(new)) > positions[:, None]  # (T, seen)
        logits: NDArray[np.float32] = self._request.infer(
            {
                "ids": np.array([new], np.int64),
                "features": rows,
                "cos": np.cos(angles).astype(np.float32)[None, None],
                "sin": np.sin(angles).astype(np.float32)[None, None],
                "mask": np.where(later, np.float32(-np.inf), np.float32(0))[None, None],
                "beam": np.zeros(1, np.int32),
            }
        )[0]
        return logits


def has_bf16() -> bool:
    """Whether OpenVINO computes in bf16 on this processor."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def compiled(
    folder: Path, precision: str, number: str, threads: int | None = None, *, keep: bool = True
) -> Any:
    """The exported graph in `folder`, compiled for arithmetic in `number`, and kept for the next
    start if `keep` and if that is worth it. Raises OpenVINO's errors."""
    options: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": number,
        "KV_CACHE_PRECISION": number,  # the default would round keys and values to 8 bits
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": threads or 0,  # 0: one per core
        "ENABLE_CPU_PINNING": False,  # pinned threads would compete with the detector's
    }
    if precision in ACTIVATION_GROUP:
        options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = ACTIVATION_GROUP[precision]
    keep = keep and (folder / WEIGHTS).stat().st_size < KEPT_BYTES
    if (graph := stored_graph(folder)).store is None:
        return compile_model(folder / GRAPH, keep=keep, **options)
    return compile_model(graph.read, sources=graph.files, keep=keep, **options)


def stored_graph(folder: Path) -> StoredGraph:
    """The graph of a form; one that a pack ships has its weights in the checkpoint."""
    is_exported = (folder / EXPORT_JSON).is_file()  # not while it is being measured
    store = read_export(folder).get(WEIGHTS_IN) if is_exported else None
    return StoredGraph(folder / GRAPH, None if store is None else folder / store)


@contextmanager
def _naming_the_remedy(form: Form, checkpoint: Path, folder: Path) -> Iterator[None]:
    """Turns any error but a lack of memory into a MissingPart with the file name, both releases of
    OpenVINO, and the command that repairs it."""
    try:
        yield
    except Exception as error:  # OpenVINO has no error base class
        if is_out_of_memory(error):
            raise
        written = read_export(folder).get("versions", {}).get("openvino", "an unknown release")
        raise MissingPart(
            f"{folder / GRAPH}: expected a graph for OpenVINO {version('openvino')}, got one of "
            f"{written}, and {in_one_line(error)}; to repair it: {form.command(checkpoint)}"
        ) from None
