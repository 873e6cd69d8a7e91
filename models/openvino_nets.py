"""Small torch networks in OpenVINO, for a CPU. Knows no model."""

import warnings
from collections.abc import Sequence
from typing import Any


def convert(net: Any, shape: Sequence[int]) -> Any:
    """A torch network in OpenVINO's form, for one fp32 input of `shape`."""
    import openvino as ov
    import torch

    example = torch.zeros(*shape)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what a trace cannot know
        # OpenVINO's own tracing checks its trace and takes twice as long
        traced = torch.jit.freeze(torch.jit.trace(net.eval(), example, check_trace=False))
        return ov.convert_model(traced, example_input=example, input=list(shape))


def compile_beside(model: Any, **options: Any) -> Any:
    """A request of an OpenVINO model that runs on one core, so that another can run beside it; pinned, it
    would wait for the detector on its core."""
    import openvino as ov

    options |= {"INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}
    return ov.Core().compile_model(model, device_name="CPU", config=options).create_infer_request()
