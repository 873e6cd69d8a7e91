"""Converts small torch networks to OpenVINO and compiles them for a CPU. Knows no model."""

import warnings
from collections.abc import Sequence
from typing import Any


def convert(net: Any, shape: Sequence[int]) -> Any:
    """An openvino.Model of a torch network, for one fp32 input of `shape`."""
    import openvino as ov
    import torch

    example = torch.zeros(*shape)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about values that a trace makes constant
        # traced here, as OpenVINO would check the trace and take twice as long
        traced = torch.jit.freeze(torch.jit.trace(net.eval(), example, check_trace=False))
        return ov.convert_model(traced, example_input=example, input=list(shape))


def compile_beside(model: Any, **options: Any) -> Any:
    """An infer request that runs on one core, so that another can run at the same time. Its thread
    is not pinned, as it would then wait for the detector on the same core."""
    import openvino as ov

    options |= {"INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}
    return ov.Core().compile_model(model, device_name="CPU", config=options).create_infer_request()
