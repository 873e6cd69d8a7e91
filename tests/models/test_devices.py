"""The choice of a device, without importing torch where only a CPU can be found."""

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.core.errors import MissingPart
from models import devices
from models.devices import choose_device, has_bf16, has_vnni
from models.runtime.memory import is_out_of_memory


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


class Driver:
    """NVIDIA's driver library: the results of cuInit and of cuDeviceGetCount."""

    def __init__(self, init: int, cards: int) -> None:
        self._init, self._cards = init, cards

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self._init

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = self._cards
        return 0


@pytest.mark.parametrize(
    ("driver", "asked"),
    [(None, False), (Driver(100, 0), False), (Driver(0, 0), False), (Driver(0, 1), True)],
)
def test_torch_is_asked_only_if_the_driver_has_a_card(
    driver: Driver | None, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str) -> Driver:
        if driver is None:
            raise OSError(f"{name}: cannot open shared object file")
        return driver

    questions: list[str] = []

    def is_available() -> bool:
        questions.append("cuda")
        return True

    torch = SimpleNamespace(
        __spec__=True,  # as it is of an installed module
        cuda=SimpleNamespace(is_available=is_available),
        backends=SimpleNamespace(mps=SimpleNamespace(is_available=lambda: False)),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", load)
    devices._may_have_accelerator.cache_clear()
    try:
        assert choose_device("auto") == ("cuda" if asked else "cpu")
    finally:
        devices._may_have_accelerator.cache_clear()
    assert bool(questions) is asked


@pytest.mark.weights
def test_the_processor_is_known_without_torch_as_torch_knows_it() -> None:
    import torch

    if Path("/proc/cpuinfo").exists():
        assert has_vnni() is torch.cpu._is_vnni_supported()
    assert isinstance(has_bf16(), bool)
