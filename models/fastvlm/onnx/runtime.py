"""FastVLM's encoder and decoder in ONNX Runtime. If the requested provider cannot run, this
is an error: there is no fallback.

Inputs and outputs are bound (IO binding): the key-value cache stays in one set of buffers on the
device, which each step reads and extends in place. Only token ids cross between device and host.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from engine.core.errors import ConfigError, MissingPart, message_of
from engine.core.extras import pip_install
from models.fastvlm.decoder_inputs import check_decoder_inputs, features_as_numpy
from models.fastvlm.forms import Form, find_form, read_facts
from models.fastvlm.greedy import Greedy
from models.fastvlm.onnx.form import MODEL, PRECISIONS

Provider = Literal["cpu", "cuda", "tensorrt"]
NAMES: dict[Provider, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
NEEDS: dict[Provider, str] = {
    "cpu": f"onnxruntime ({pip_install('onnx')})",
    "cuda": "onnxruntime-gpu in place of onnxruntime, with CUDA's and cuDNN's libraries (pip "
    "uninstall onnxruntime, then pip install 'onnxruntime-gpu[cuda,cudnn]')",
    "tensorrt": "onnxruntime-gpu in place of onnxruntime (pip uninstall onnxruntime, then pip install "
    "'onnxruntime-gpu[cuda,cudnn]') and TensorRT's libnvinfer (pip install tensorrt)",
}
FATAL = 4  # log severity; errors come as exceptions
CACHE_STEP = 256  # tokens; buffer lengths are multiples of it, to reallocate rarely


def open_encoder(
    checkpoint: Path,
    precision: str,
    side_px: int,
    provider: Provider = "cpu",
    threads: int | None = None,
) -> "OnnxEncoder":
    """The exported encoder for images of one size. Raises MissingPart if it or a library is
    missing."""
    folder = find_form(checkpoint, Form("onnx", "encoder", precision, side_px))
    return OnnxEncoder(folder, precision, side_px, provider, threads)


def open_decoder(
    checkpoint: Path,
    precision: str,
    provider: Provider = "cpu",
    greedy: Greedy | None = None,
    threads: int | None = None,
) -> "OnnxDecoder":
    """The exported decoder. Raises MissingPart if it or a library is missing, and ConfigError for a
    precision that the provider cannot run."""
    folder = find_form(checkpoint, Form("onnx", "decoder", precision))
    return OnnxDecoder(folder, precision, provider, greedy or Greedy(), threads)


class OnnxEncoder:
    """An Encoder; see models/fastvlm/ports.py."""

    def __init__(
        self, folder: Path, precision: str, side_px: int, provider: Provider, threads: int | None
    ) -> None:
        self.precision = precision
        self.side_px = side_px
        self.provider: str = provider
        self._session = open_session(folder, provider, threads)
        self._binding = self._session.io_binding()
        self._options = _run_options()

    def stop(self) -> None:
        """See `Encoder`."""
        self._options.terminate = True

    def encode(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Features (tokens, width), in host memory."""
        self._binding.bind_output("features", "cpu")
        inputs = {"pixels": np.ascontiguousarray(pixels, np.float32)}
        _run(self._session, self._binding, inputs, self._options)
        features: NDArray[np.float32] = self._binding.get_outputs()[0].numpy()
        return features


class OnnxDecoder:
    """A Decoder; see models/fastvlm/ports.py."""

    def __init__(
        self,
        folder: Path,
        precision: str,
        provider: Provider,
        greedy: Greedy,
        threads: int | None,
    ) -> None:
        fp16 = PRECISIONS[precision][0]
        if provider != "cpu" and not fp16:
            supported = ", ".join(name for name, (is_fp16, _) in PRECISIONS.items() if is_fp16)
            raise ConfigError(
                f"the ONNX decoder on {provider}: expected a precision of {supported}, got {precision}: "
                "ONNX Runtime's attention has no 32-bit form there"
            )
        self.precision = precision
        self.provider: str = provider
        self._greedy = greedy
        self._facts = read_facts(folder)
        self._type = np.float16 if fp16 else np.float32
        self._session = open_session(folder, provider, threads)
        self._binding = self._session.io_binding()
        self._binding.bind_output("next_ids" if greedy.plain else "logits", "cpu")
        self._no_features = np.zeros((1, self._facts["hidden_size"]), np.float32)
        self._cache_tokens = 0  # capacity of the bound buffers
        self._options = _run_options()

    def stop(self) -> None:
        """See `Decoder`."""
        self._options.terminate = True

    def write(self, ids: Sequence[int], features: Any, limit: int) -> Iterator[int]:
        """See `Decoder`. Raises DescriberFailed if the numbers of image tokens and features
        differ."""
        check_decoder_inputs(
            ids,
            features,
            limit,
            context=self._facts["context"],
            image_id=self._facts["image_token_index"],
        )
        self._bind_cache(len(ids) + limit)
        rows = features_as_numpy(features) if len(features) else self._no_features
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
        """The token after `seen`, of which the last ones, `fresh`, have not been read yet."""
        inputs: dict[str, NDArray[Any]] = {
            "input_ids": np.array([fresh], np.int64),
            "image_features": rows,
            "attention_mask": np.ones((1, len(seen)), np.int64),
        }
        _run(self._session, self._binding, inputs, self._options)
        chosen = self._binding.get_outputs()[0].numpy()
        return int(chosen[0, 0]) if self._greedy.plain else self._greedy.choose(chosen[0], seen)

    def _bind_cache(self, tokens: int) -> None:
        """Bind cache buffers for at least `tokens` tokens. Each buffer is both past and present: a
        step writes its rows after those that the attention mask covers."""
        if tokens <= self._cache_tokens:
            return
        import onnxruntime

        facts = self._facts
        capacity = min(-(-tokens // CACHE_STEP) * CACHE_STEP, facts["context"])
        empty = np.zeros((1, facts["kv_heads"], capacity, facts["head_size"]), self._type)
        device = "cpu" if self.provider == "cpu" else "cuda"
        for layer in range(facts["layers"]):
            for kind in ("key", "value"):
                buffer = onnxruntime.OrtValue.ortvalue_from_numpy(empty.copy(), device, 0)
                self._binding.bind_ortvalue_input(f"past_key_values.{layer}.{kind}", buffer)
                self._binding.bind_ortvalue_output(f"present.{layer}.{kind}", buffer)
        self._cache_tokens = capacity


def check_provider(provider: Provider) -> None:
    """Raises MissingPart with the library to install if ONNX Runtime has no such provider."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPart(f"ONNX: {message_of(error)}; install {NEEDS[provider]}") from None
    available = onnxruntime.get_available_providers()
    if NAMES[provider] not in available:
        raise MissingPart(
            f"ONNX on {provider}: ONNX Runtime {onnxruntime.__version__} here has no "
            f"{NAMES[provider]}, only {', '.join(available)}; install {NEEDS[provider]}"
        )


def open_session(folder: Path, provider: Provider, threads: int | None) -> Any:
    """An ONNX Runtime session of an exported model, on this provider and no other.

    Raises MissingPart with the library that is missing, or with what is wrong with the export.
    """
    check_provider(provider)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL
    if threads is not None:
        options.intra_op_num_threads = threads
    missing = [] if provider == "cpu" else _load_cuda_libraries()
    try:
        session = onnxruntime.InferenceSession(
            str(folder / MODEL), options, providers=_providers(provider, folder), enable_fallback=0
        )
    except Exception as error:  # ONNX Runtime has a dozen classes, with no common base
        raise MissingPart(
            f"{folder}: expected an exported model, got {message_of(error, 300)}; export it again"
            + ("" if provider == "cpu" else f", or install {NEEDS[provider]}")
        ) from None
    if NAMES[provider] not in session.get_providers():  # it fell back to the CPU and only logged it
        lacking = ", ".join(missing) or "its libraries or a graphics card"
        raise MissingPart(
            f"ONNX on {provider}: {NAMES[provider]} did not start: it lacks {lacking}; "
            f"install {NEEDS[provider]}"
        )
    session.disable_fallback()
    return session


def _load_cuda_libraries() -> list[str]:
    """Load the CUDA libraries that pip installed, which the system's loader does not find; returns
    the names of those that could not be loaded."""
    import onnxruntime

    onnxruntime.set_default_logger_severity(FATAL)
    # ONNX Runtime has no other report of these names than what it prints.
    with redirect_stdout(StringIO()) as printed:
        onnxruntime.preload_dlls()
    return re.findall(r"Failed to load ([^\s:]+)", printed.getvalue())


def _providers(provider: Provider, folder: Path) -> list[Any]:
    """ONNX Runtime's `providers` argument. Operators that TensorRT lacks run on CUDA. TensorRT
    takes minutes to build its engine, and caches it next to the export."""
    if provider != "tensorrt":
        return [NAMES[provider]]
    options = {
        "trt_fp16_enable": True,
        "trt_engine_cache_enable": True,
        "trt_engine_cache_path": str(folder),
    }
    return [(NAMES["tensorrt"], options), NAMES["cuda"]]


def _run_options() -> Any:
    """Options of one network's runs, by which another thread can end them."""
    import onnxruntime

    return onnxruntime.RunOptions()


def _run(session: Any, binding: Any, inputs: dict[str, NDArray[Any]], options: Any) -> None:
    """Bind the inputs and run. Raises MemoryError if ONNX Runtime's message says that it ran out of
    memory."""
    for name, array in inputs.items():  # binds pointers only: `inputs` keeps the arrays alive
        binding.bind_cpu_input(name, array)
    try:
        session.run_with_iobinding(binding, options)
    except Exception as error:
        if "allocate memory" in str(error):
            raise MemoryError(message_of(error)) from None
        raise
