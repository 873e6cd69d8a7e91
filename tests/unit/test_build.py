"""What `build.py` chooses from a configuration, with nothing loaded."""

import sys
from contextlib import nullcontext
from pathlib import Path

import pytest

from engine import build
from engine.config import Config
from engine.errors import ConfigError, InputError
from models.describer import check_image_size
from models.packs import find_pack, write_manifest
from tests import media


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)


@pytest.mark.parametrize(
    ("source", "live", "asks"),
    [
        ("sample", False, "once"),
        ("image", False, "once"),
        ("folder", False, "every"),
        ("dataset", False, "every"),
        ("video", False, "interval"),
        ("webcam", True, "interval"),
    ],
)
def test_who_asks_depends_on_the_kind_of_source(source: str, live: bool, asks: str) -> None:
    trigger, keys = build.build_trigger(Config(), source, live)
    assert (trigger.name, keys) == (asks, False)


def test_the_sample_is_asked_about_once_its_obstacles_are_known() -> None:
    trigger, _ = build.build_trigger(Config(), "sample", live=False)
    assert [trigger.due(time_s) for time_s in (0.0, 1.9, 2.0)] == [False, False, True]


@pytest.mark.parametrize("name", ["photo", "folder", "sample"])
def test_a_source_is_told_by_its_kind_and_not_by_its_files_name(tmp_path: Path, name: str) -> None:
    config = Config()
    config.source.name, config.source.path = "image", str(tmp_path / f"{name}.png")
    media.save(tmp_path / f"{name}.png", media.quadrants())
    assert build.source_kind(config) == "image"
    assert build.build_source(config, "image").read() is not None


def test_a_home_of_nobody_is_a_path_like_any_other(tmp_path: Path) -> None:
    config = Config()
    config.source.path = "~nobody-of-that-name/photo.jpg"
    with pytest.raises(InputError, match="~nobody-of-that-name"):
        build.build_source(config, "image")


@pytest.mark.parametrize("side", [64, 100])
def test_a_picture_size_is_judged_before_any_model_loads(tmp_path: Path, side: int) -> None:
    folder = tmp_path / "describer"
    folder.mkdir()
    (folder / "processor_config.json").write_text('{"patch_size": 32}', encoding="utf-8")
    write_manifest(tmp_path, "0")
    files = find_pack("describer", "pocket", pocket=tmp_path)
    with nullcontext() if side == 64 else pytest.raises(ConfigError, match="multiple of 32, got"):
        check_image_size(files, side)
