"""Fixtures of several modules: FastVLM checkpoints, and one home for all that is exported from
them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from models import quiet_offline
from tests.fakes.fastvlm import APPLE_SIDE_PX, Parts, Reference, random_parts, save_apple_checkpoint

quiet_offline()


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SCENE_ARIA_HOME of the tests that export real checkpoints: each form is exported once."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def exports_home(exports: Path) -> Iterator[Path]:
    """The same, set for the tests of a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCENE_ARIA_HOME", str(exports))
        yield exports


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One torch thread: with small networks, threads wait for each other longer than they work."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def parts() -> Parts:
    """The random parts of the checkpoint in Apple's layout."""
    return random_parts()


@pytest.fixture(scope="session")
def apple(tmp_path_factory: pytest.TempPathFactory, parts: Parts) -> Path:
    """A small random checkpoint in Apple's layout."""
    folder = tmp_path_factory.mktemp("apple")
    save_apple_checkpoint(folder, parts)
    return folder


@pytest.fixture(scope="session")
def pocket() -> Reference:
    """The shipped describer."""
    from models.packs import POCKET

    return Reference(POCKET / "describer", 224)


@pytest.fixture(scope="session")
def tiny(apple: Path) -> Reference:
    """The checkpoint in Apple's layout."""
    return Reference(apple, APPLE_SIDE_PX)
