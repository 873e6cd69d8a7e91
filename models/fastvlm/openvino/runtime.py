"""FastVLM's halves in OpenVINO on a processor, from exports that `python -m models export` wrote.

Weights in fp32 and fp16 are computed with in fp32, so that answers are torch's own; an encoder's others in
bf16 where the processor has it, a decoder's in what was quickest when it was exported. Knows nothing of
pictures, prompts or words.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.errors import MissingPart, in_one_line
from models.fastvlm.export.forms import Form, about, find_form
from models.fastvlm.greedy import Greedy
from models.fastvlm.openvino.memory import let_go
from models.fastvlm.openvino.weights import GROUP
from models.fastvlm.validate import in_memory, refuse_misfits

GRAPH = "model.xml"  # beside it its weights, model.bin
ARITHMETIC = "arithmetic.json"  # beside those of a decoder
EXACT = ("fp32", "fp16")
# Neighbours of an activation that share a scale where the processor multiplies in 8 bits (VNNI): the
# wider the quicker, but no wider than those of the weights, and a divisor of every row's length.
SHARED = {"int8": 128, "int4": GROUP}
# Rows of a prompt: in AVX-512's bf16 one more makes all of them take half as long again.
BLOCK = 64


@dataclass(frozen=True)
class Arithmetic:
    """What a decoder computes in, OpenVINO's `f32` or `bf16`, and how many rows of a prompt it reads at
    once (None: all)."""

    number: str
    block: int | None


def open_encoder(
    checkpoint: Path, precision: str, side_px: int, threads: int | None = None
) -> "OpenVinoEncoder":
    """The exported encoder, warm. Raises MissingPart where it is not there or damaged."""
    form = Form("openvino", "encoder", precision, side_px)
    folder = find_form(checkpoint, form)
    number = "bf16" if precision not in EXACT and has_bf16() else "f32"
    with _mending(form, checkpoint, folder):
        graph = compiled(folder, precision, number, threads)
    encoder = OpenVinoEncoder(graph, precision, side_px)
    let_go(folder)
    return encoder


def open_decoder(
    checkpoint: Path, precision: str, greedy: Greedy, threads: int | None = None
) -> "OpenVinoDecoder":
    """The exported decoder, warm. Raises MissingPart where it is not there or damaged."""
    form = Form("openvino", "decoder", precision)
    folder = find_form(checkpoint, form)
    with _mending(form, checkpoint, folder):
        arithmetic = Arithmetic(**json.loads((folder / ARITHMETIC).read_text(encoding="utf-8")))
        graph = compiled(folder, precision, arithmetic.number, threads)
    decoder = OpenVinoDecoder(graph, precision, about(folder), greedy, arithmetic)
    let_go(folder)
    return decoder


class OpenVinoEncoder:
    """An `Encoder`; to be used from one thread."""

    provider = "cpu"

    def __init__(self, graph: Any, precision: str, side_px: int) -> None:
        self.precision = precision
        self.side_px = side_px
        self._request = graph.create_infer_request()
        self.encode(np.zeros((1, 3, side_px, side_px), np.float32))

    def encode(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `Encoder`."""
        self._request.infer([np.ascontiguousarray(pixels, np.float32)])
        features: NDArray[np.float32] = self._request.get_output_tensor().data.copy()
        return features


class OpenVinoDecoder:
    """A `Decoder`; to be used from one thread. `facts` are those of `exports.describe`."""

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
        self._request = graph.create_infer_request()
        self._greedy = greedy
        self._context = int(facts["context"])
        self._block = arithmetic.block or self._context
        self._image = int(facts["image_token_index"])
        self._no_features = np.zeros((1, int(facts["hidden_size"])), np.float32)
        size = int(facts["head_size"])
        self._turns = float(facts["rope_theta"]) ** -(
            np.arange(0, size, 2) / size
        )  # radians a token
        self._head: tuple[int, ...] = ()  # what was read last before a picture
        self._kept: list[Any] = []  # its keys and values
        self._read([0, self._image], self._no_features)
        self._step([0], self._no_features, 2)

    def write(self, ids: Sequence[int], features: Any, limit: int) -> Iterator[int]:
        """See `Decoder`. Raises DescriberFailed where image tokens and features differ in number."""
        refuse_misfits(ids, features, limit, context=self._context, image_id=self._image)
        return self._written(list(ids), in_memory(features), limit)

    def _written(self, ids: list[int], rows: NDArray[np.float32], limit: int) -> Iterator[int]:
        for place in range(limit):
            if place == 0:
                logits = self._read(ids, rows)
            else:
                logits = self._step(ids[-1:], self._no_features, len(ids) - 1)
            token = self._greedy.choose(logits, ids)
            yield token
            if token in self._greedy.ends:
                return
            ids.append(token)

    def _read(self, ids: list[int], rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits after a whole prompt; all that was kept before is forgotten. What stands before the
        picture is the same in every question, and only read where it has changed."""
        start = ids.index(self._image) if self._image in ids else 0
        self._begin(tuple(ids[:start]))
        whole = len(ids) - (len(ids) - start) % self._block
        seen, logits = 0, np.empty(0, np.float32)
        for first, end in ((start, whole), (whole, len(ids))):
            if block := ids[first:end]:
                places = block.count(self._image)
                features = rows[seen : seen + places] if places else self._no_features
                logits = self._step(block, features, first)
                seen += places
        return logits

    def _begin(self, head: tuple[int, ...]) -> None:
        """Have read `head`, and nothing else."""
        import openvino as ov

        if head and head == self._head:
            for state, kept in zip(self._request.query_state(), self._kept, strict=True):
                state.state = kept
            return
        self._head = ()
        self._request.reset_state()
        if head:
            self._step(list(head), self._no_features, 0)
            self._kept = [ov.Tensor(state.state.data) for state in self._request.query_state()]
            self._head = head

    def _step(self, new: list[int], rows: NDArray[np.float32], start: int) -> NDArray[np.float32]:
        """Logits (vocabulary,) after `new`, the tokens from place `start` on. They are good until the
        next step."""
        places = np.arange(start, start + len(new))
        angles = np.tile(places[:, None] * self._turns, 2)  # (T, head)
        later = np.arange(start + len(new)) > places[:, None]  # (T, seen)
        self._request.infer(
            {
                "ids": np.array([new], np.int64),
                "features": rows,
                "cos": np.cos(angles).astype(np.float32)[None, None],
                "sin": np.sin(angles).astype(np.float32)[None, None],
                "mask": np.where(later, np.float32(-np.inf), np.float32(0))[None, None],
                "beam": np.zeros(1, np.int32),
            }
        )
        logits: NDArray[np.float32] = self._request.get_output_tensor().data[0]
        return logits


def has_bf16() -> bool:
    """Whether OpenVINO computes in bf16 on this processor."""
    import openvino as ov

    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def compiled(folder: Path, precision: str, number: str, threads: int | None = None) -> Any:
    """The exported graph in `folder`, ready to run in `number`s. Raises what OpenVINO raises."""
    import openvino as ov

    options = {
        "INFERENCE_PRECISION_HINT": number,
        "KV_CACHE_PRECISION": number,  # of itself it would round keys and values to 8 bits
        "NUM_STREAMS": "1",
        "INFERENCE_NUM_THREADS": threads or 0,  # 0: as many as there are cores
        "ENABLE_CPU_PINNING": False,  # pinned, it would wait for a detector on its core
    }
    if precision in SHARED:
        options["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = SHARED[precision]
    return ov.Core().compile_model(folder / GRAPH, "CPU", options)


@contextmanager
def _mending(form: Form, checkpoint: Path, folder: Path) -> Iterator[None]:
    """What goes wrong within is told with the file's name and what mends it."""
    try:
        yield
    except Exception as error:  # OpenVINO has no class of its own
        raise MissingPart(
            f"{folder / GRAPH}: expected a graph for OpenVINO, got {in_one_line(error)}; "
            f"to mend it: {form.command(checkpoint)}"
        ) from None
