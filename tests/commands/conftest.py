"""The engine under test uses a pack of tiny random networks instead of the shipped one."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.core.files import sha256_of
from tests.fakes.tiny import save_pack


@pytest.fixture(scope="session")
def tiny_pack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pack(tmp_path_factory.mktemp("pack"))


@pytest.fixture(scope="module", autouse=True)
def uses_tiny_pack(tiny_pack: Path) -> Iterator[None]:
    """Ends with the module: the tests of other folders see the shipped pack."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCENE_ARIA_POCKET", str(tiny_pack))
        patch.setenv("SCENE_ARIA_TRUST", sha256_of(tiny_pack / "detector.pt"))
        yield


@pytest.fixture(autouse=True)
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions in this process see the same environment as those in a separate process."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stdin", None)
