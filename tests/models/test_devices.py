"""The choice of a device, without importing torch where only a CPU can be found."""

import sys

import pytest

from engine.core.errors import MissingPart
from models import devices
from models.devices import choose_device, is_out_of_memory


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing torch raises, as where it is not installed."""
    monkeypatch.setitem(sys.modules, "torch", None)


@pytest.mark.usefixtures("no_torch")
def test_a_cpu_needs_no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") == "cpu"
    monkeypatch.setattr(devices, "_may_have_accelerator", lambda: False)
    assert choose_device("auto") == "cpu"
    with pytest.raises(MissingPart, match=r"models\.device=cuda: expected torch, got none; run"):
        choose_device("cuda")


@pytest.mark.usefixtures("no_torch")
@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("Failed to allocate 12 bytes"), True),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA"), True),
        (RuntimeError("a shape that does not fit"), False),
    ],
)
def test_failed_allocations_are_recognised(error: Exception, is_memory: bool) -> None:
    assert is_out_of_memory(error) == is_memory
