"""FastVLM's halves in ONNX Runtime, on the provider that was asked for or not at all.

What goes in and out is bound: the key-value cache stays in one set of buffers on the device, which
every step reads and grows in place; ids and a choice are all that crosses.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.core.errors import ConfigError, MissingPart, words_of
from models.fastvlm.export.forms import Form, about, find_form
from models.fastvlm.greedy import Greedy
from models.fastvlm.validate import in_memory, refuse_misfits

Provider = Literal["cpu", "cuda", "tensorrt"]
MODEL = "model.onnx"
# Of each precision: whether the arithmetic is in fp16 (else fp32), and the bits of matrices that are
# kept in fewer. int4 is q4f16 for a CPU, which has no fast fp16.
PRECISIONS: dict[str, tuple[bool, int | None]] = {
    "fp32": (False, None),
    "fp16": (True, None),
    "int8": (False, 8),
    "int4": (False, 4),
    "q4f16": (True, 4),
}
NAMES: dict[Provider, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
NEEDS: dict[Provider, str] = {
    "cpu": "onnxruntime (pip install -e '.[onnx]')",
    "cuda": "onnxruntime-gpu in place of onnxruntime, with CUDA's and cuDNN's libraries (pip "
    "uninstall onnxruntime, then pip install 'onnxruntime-gpu[cuda,cudnn]')",
    "tensorrt": "onnxruntime-gpu in place of onnxruntime (pip uninstall onnxruntime, then pip install "
    "'onnxruntime-gpu[cuda,cudnn]') and TensorRT's libnvinfer (pip install tensorrt)",
}
SILENT = 4  # only what is fatal is logged; errors come as exceptions
CACHE_STEP = 256  # tokens; buffers have room for a multiple, so that few prompts make new ones


def open_encoder(
    checkpoint: Path,
    precision: str,
    side_px: int,
    provider: Provider = "cpu",
    threads: int | None = None,
) -> "OnnxEncoder":
    """The exported encoder for pictures of a side. Raises MissingPart for what is not here."""
    folder = find_form(checkpoint, Form("onnx", "encoder", precision, side_px))
    return OnnxEncoder(folder, precision, side_px, provider, threads)


def open_decoder(
    checkpoint: Path,
    precision: str,
    provider: Provider = "cpu",
    greedy: Greedy | None = None,
    threads: int | None = None,
) -> "OnnxDecoder":
    """The exported decoder. Raises MissingPart for what is not here, and ConfigError for a precision
    that the provider cannot run."""
    folder = find_form(checkpoint, Form("onnx", "decoder", precision))
    return OnnxDecoder(folder, precision, provider, greedy or Greedy(), threads)


class OnnxEncoder:
    """The vision tower and the projector; see models/fastvlm/ports.py."""

    def __init__(
        self, folder: Path, precision: str, side_px: int, provider: Provider, threads: int | None
    ) -> None:
        self.precision = precision
        self.side_px = side_px
        self.provider: str = provider
        self._session = open_session(folder, provider, threads)
        self._binding = self._session.io_binding()

    def encode(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features (tokens, width), in memory of the processor, whatever made them."""
        self._binding.bind_output("features", "cpu")
        fed = {"pixels": np.ascontiguousarray(pixels, np.float32)}
        _run(self._session, self._binding, fed)
        features: NDArray[np.float32] = self._binding.get_outputs()[0].numpy()
        return features


class OnnxDecoder:
    """The language model; see models/fastvlm/ports.py."""

    def __init__(
        self,
        folder: Path,
        precision: str,
        provider: Provider,
        greedy: Greedy,
        threads: int | None,
    ) -> None:
        half = PRECISIONS[precision][0]
        if provider != "cpu" and not half:
            fit = ", ".join(name for name, (is_half, _) in PRECISIONS.items() if is_half)
            raise ConfigError(
                f"the ONNX decoder on {provider}: expected a precision of {fit}, got {precision}: "
                "ONNX Runtime's attention has no 32-bit form there"
            )
        self.precision = precision
        self.provider: str = provider
        self._greedy = greedy
        self._facts = about(folder)
        self._type = np.float16 if half else np.float32
        self._session = open_session(folder, provider, threads)
        self._binding = self._session.io_binding()
        self._binding.bind_output("next_ids" if greedy.plain else "logits", "cpu")
        self._no_features = np.zeros((1, self._facts["hidden_size"]), np.float32)
        self._room = 0  # tokens for which the cache has room

    def write(self, ids: Sequence[int], features: Any, limit: int) -> Iterator[int]:
        """See `Decoder`. Raises DescriberFailed where image tokens and features differ in number."""
        refuse_misfits(
            ids,
            features,
            limit,
            context=self._facts["context"],
            image_id=self._facts["image_token_index"],
        )
        self._make_room(len(ids) + limit)
        rows = in_memory(features) if len(features) else self._no_features
        return self._tokens(list(ids), rows, limit)

    def _tokens(self, seen: list[int], rows: NDArray[np.float32], limit: int) -> Iterator[int]:
        fresh = seen
        for _ in range(limit):
            token = self._step(fresh, rows, seen)
            yield token
            if token in self._greedy.ends:
                return
            seen.append(token)
            fresh, rows = [token], self._no_features

    def _step(self, fresh: list[int], rows: NDArray[np.float32], seen: list[int]) -> int:
        """Read the tokens in `fresh`, the last of `seen`; return the one after them."""
        fed: dict[str, NDArray[Any]] = {
            "input_ids": np.array([fresh], np.int64),
            "image_features": rows,
            "attention_mask": np.ones((1, len(seen)), np.int64),
        }
        _run(self._session, self._binding, fed)
        chosen = self._binding.get_outputs()[0].numpy()
        return int(chosen[0, 0]) if self._greedy.plain else self._greedy.choose(chosen[0], seen)

    def _make_room(self, tokens: int) -> None:
        """Bind cache buffers that have room for so many; each is read as the past and written as the
        present, where a step adds its own rows behind those that its mask counts."""
        if tokens <= self._room:
            return
        import onnxruntime

        facts = self._facts
        room = min(-(-tokens // CACHE_STEP) * CACHE_STEP, facts["context"])
        empty = np.zeros((1, facts["kv_heads"], room, facts["head_size"]), self._type)
        device = "cpu" if self.provider == "cpu" else "cuda"
        for layer in range(facts["layers"]):
            for kind in ("key", "value"):
                buffer = onnxruntime.OrtValue.ortvalue_from_numpy(empty.copy(), device, 0)
                self._binding.bind_ortvalue_input(f"past_key_values.{layer}.{kind}", buffer)
                self._binding.bind_ortvalue_output(f"present.{layer}.{kind}", buffer)
        self._room = room


def check_provider(provider: Provider) -> None:
    """Raise MissingPart naming the library without which ONNX Runtime has no such provider."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPart(f"ONNX: {words_of(error)}; install {NEEDS[provider]}") from None
    here = onnxruntime.get_available_providers()
    if NAMES[provider] not in here:
        raise MissingPart(
            f"ONNX on {provider}: ONNX Runtime {onnxruntime.__version__} here has no "
            f"{NAMES[provider]}, only {', '.join(here)}; install {NEEDS[provider]}"
        )


def open_session(folder: Path, provider: Provider, threads: int | None) -> Any:
    """ONNX Runtime's session of an exported model, on the provider and on no other one.

    Raises MissingPart naming the library that is missing, or what is wrong with the export.
    """
    check_provider(provider)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT
    if threads is not None:
        options.intra_op_num_threads = threads
    with redirect_stdout(StringIO()) as said:  # what it prints is said below, on one line
        if provider != "cpu":
            onnxruntime.set_default_logger_severity(SILENT)
            onnxruntime.preload_dlls()  # those that pip installed, which the loader would not find
        try:
            session = onnxruntime.InferenceSession(
                str(folder / MODEL), options, providers=_asked(provider, folder)
            )
        except Exception as error:  # ONNX Runtime has a dozen of its own, with no common base
            raise MissingPart(
                f"{folder}: expected an exported model, got {words_of(error)[:300]}; export it anew"
            ) from None
    if NAMES[provider] not in session.get_providers():  # it had fallen back, and only logged it
        lacking = ", ".join(re.findall(r"Failed to load ([^\s:]+)", said.getvalue()))
        raise MissingPart(
            f"ONNX on {provider}: {NAMES[provider]} did not start, for want of "
            f"{lacking or 'its libraries or a graphics card'}; install {NEEDS[provider]}"
        )
    session.disable_fallback()
    return session


def _asked(provider: Provider, folder: Path) -> list[Any]:
    """In ONNX Runtime's words. TensorRT leaves to CUDA what it has no form of, and what it builds in
    minutes is kept beside the export."""
    if provider != "tensorrt":
        return [NAMES[provider]]
    kept = {
        "trt_fp16_enable": True,
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(folder),
    }
    return [(NAMES["tensorrt"], kept), NAMES["cuda"]]


def _run(session: Any, binding: Any, fed: dict[str, NDArray[Any]]) -> None:
    """Bind what is `fed` and run. Raises MemoryError for what ONNX Runtime says in words only."""
    for name, array in fed.items():  # only pointers are bound: `fed` keeps the arrays alive
        binding.bind_cpu_input(name, array)
    try:
        session.run_with_iobinding(binding)
    except Exception as error:
        if "allocate memory" in str(error):
            raise MemoryError(words_of(error)) from None
        raise
