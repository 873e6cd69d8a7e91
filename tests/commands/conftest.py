"""The commands under test take a pack of tiny random networks for the shipped one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.tiny import save_pack


@pytest.fixture(scope="session", autouse=True)
def tiny_pack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        root = save_pack(tmp_path_factory.mktemp("pack"))
        patch.setenv("SCENE_ARIA_POCKET", str(root))
        yield root
