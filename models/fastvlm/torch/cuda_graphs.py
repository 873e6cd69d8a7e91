"""Functions of fixed shapes, run on a stream of the describer's own and captured into CUDA graphs; on
other devices the same functions, called. Knows no network.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from engine.core.errors import MissingPart
from models.devices import memory_bytes, synchronise

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
FOUR_BITS = "int4"  # of the decoder's weights, on a graphics card: multiplied in fp16


def dtype_of(precision: str) -> torch.dtype:
    """In which torch computes. Raises MissingPart for a precision that torch has not."""
    precision = "fp16" if precision == FOUR_BITS else precision
    if precision not in PRECISIONS:
        raise MissingPart(
            f"models.describer.precision={precision}: torch has {', '.join(PRECISIONS)}, and {FOUR_BITS} "
            "on a graphics card; use one of those, or models.describer.runtime=openvino or onnx"
        )
    return PRECISIONS[precision]


@cache
def side_stream() -> Any:
    """The describer's own, on CUDA; one, so that features are there when the decoder reads them."""
    return torch.cuda.Stream()


class Part:
    """What both halves share: a device, a precision, and functions run on a stream or captured."""

    start_s = 0.0  # seconds of the first runs and captures

    def __init__(self, device: str, precision: str, capture: bool | None) -> None:
        self.precision, self.provider = precision, device
        self._dtype = dtype_of(precision)
        self._captures = device == "cuda" if capture is None else capture
        self._pool: Any = None

    def memory(self) -> dict[str, int]:
        """Bytes that this process holds on the device; see models.devices.memory_bytes."""
        return memory_bytes(self.provider)

    def _on(self) -> Any:
        """Work within goes to the describer's stream. Never around a `yield`: it holds for whatever
        the thread does."""
        return torch.cuda.stream(side_stream() if self.provider == "cuda" else None)

    def _ready(self, work: Callable[[], None]) -> Callable[[], None]:
        """`work`, which touches static tensors alone; captured where that is wanted, after a first
        run. Uncaptured, a first run would only be one more."""
        if not self._captures:
            return work
        started_s = time.perf_counter()
        synchronise(self.provider)  # what loading asked of the default stream
        with torch.inference_mode(), self._on(), self._kernels():
            work()  # libraries choose their kernels at the first run, which cannot be captured
            run = self._captured(work)
        synchronise(self.provider)
        self.start_s += time.perf_counter() - started_s
        return run

    def _kernels(self) -> Any:
        """What libraries may choose from. cuDNN tries its convolutions out, as shapes are fixed; its
        attention is left out, which takes no keys that several queries share in a view."""
        chosen = ExitStack()
        if self.provider == "cuda":
            some = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
            chosen.enter_context(sdpa_kernel(some))
            chosen.enter_context(torch.backends.cudnn.flags(enabled=True, benchmark=True))
        return chosen

    def _captured(self, work: Callable[[], None]) -> Callable[[], None]:
        if self._pool is None:
            # One run follows the other and leaves nothing in the pool that a later one needs.
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        side_stream().synchronize()
        with torch.cuda.graph(
            graph,
            pool=self._pool,
            stream=side_stream(),
            capture_error_mode="thread_local",  # the detector's thread may allocate meanwhile
        ):
            work()
        replay: Callable[[], None] = graph.replay
        return replay
