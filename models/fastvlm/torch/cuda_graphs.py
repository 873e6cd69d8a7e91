"""Runs functions of fixed shapes: captured into CUDA graphs on the describer's stream, or, on
other devices, called directly. Knows no network.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from engine.core.errors import DescriberFailed, MissingPart
from models.devices import memory_bytes, synchronise

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
INT4 = "int4"  # the decoder's weights on a GPU; multiplied in fp16


def dtype_of(precision: str) -> torch.dtype:
    """The dtype in which torch computes. Raises MissingPart for a precision that torch does not
    have."""
    precision = "fp16" if precision == INT4 else precision
    if precision not in PRECISIONS:
        raise MissingPart(
            f"models.describer.precision={precision}: torch has {', '.join(PRECISIONS)}, and {INT4} "
            "on a graphics card; use one of those, or models.describer.runtime=openvino or onnx"
        )
    return PRECISIONS[precision]


@cache
def side_stream() -> Any:
    """The describer's CUDA stream. Encoder and decoder share it, so that features are complete when
    the decoder reads them."""
    return torch.cuda.Stream()


class CapturedPart:
    """Base of the encoder and the decoder: device, precision, and the capture of functions."""

    start_s = 0.0  # time spent on first runs and captures

    def __init__(self, device: str, precision: str, capture: bool | None) -> None:
        self.precision, self.provider = precision, device
        self._dtype = dtype_of(precision)
        self._captures = device == "cuda" if capture is None else capture
        self._pool: Any = None
        self._stopped = False

    def stop(self) -> None:
        """See models.fastvlm.ports: work ends before the next step, or the next layer where
        `_raise_if_stopped` is its hook."""
        self._stopped = True

    def _raise_if_stopped(self, *_layer: Any) -> None:
        if self._stopped:
            raise DescriberFailed("stopped")

    def memory(self) -> dict[str, int]:
        """Bytes that this process uses on the device; see models.devices.memory_bytes."""
        return memory_bytes(self.provider)

    def _on_stream(self) -> Any:
        """A context in which work goes to the describer's stream; refused once stopped. Do not
        `yield` inside it: it applies to everything that the thread does."""
        self._raise_if_stopped()
        return torch.cuda.stream(side_stream() if self.provider == "cuda" else None)

    def _prepare(self, work: Callable[[], None]) -> Callable[[], None]:
        """`work`, which uses static tensors only; captured after a first run if captures are on."""
        if not self._captures:
            return work
        started_s = time.perf_counter()
        synchronise(self.provider)  # with the default stream, on which weights were loaded
        with torch.inference_mode(), self._on_stream(), self._kernel_choice():
            work()  # the first run chooses kernels, which cannot be captured
            run = self.capture_graph(work)
        synchronise(self.provider)
        self.start_s += time.perf_counter() - started_s
        return run

    def _kernel_choice(self) -> Any:
        """A context that limits the kernels that libraries may choose. cuDNN benchmarks
        convolutions, as shapes are fixed. Its attention is excluded: it does not accept keys that
        are expanded views."""
        context = ExitStack()
        if self.provider == "cuda":
            attention = [
                SDPBackend.FLASH_ATTENTION,
                SDPBackend.EFFICIENT_ATTENTION,
                SDPBackend.MATH,
            ]
            context.enter_context(sdpa_kernel(attention))
            context.enter_context(torch.backends.cudnn.flags(enabled=True, benchmark=True))
        return context

    def capture_graph(self, work: Callable[[], None]) -> Callable[[], None]:
        """Capture `work` into a CUDA graph; returns the function that replays it."""
        if self._pool is None:
            # Graphs can share a pool: they run one after the other and leave no data in it.
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        side_stream().synchronize()
        with torch.cuda.graph(
            graph,
            pool=self._pool,
            stream=side_stream(),
            capture_error_mode="thread_local",  # the detector's thread may allocate at the same time
        ):
            work()
        replay: Callable[[], None] = graph.replay
        return replay
