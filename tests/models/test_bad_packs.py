"""A file with a correct checksum and bad content is refused by name, whatever its library
raises."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.core.errors import MissingPart
from models.describer import FastVlmDescriber
from models.detector import load_detector
from models.packs import PackFiles, find_pack, write_manifest
from models.scenes import load_scenes
from tests.fakes.tiny import DETECTOR_SIDE, LABELS, SCENE_SETTINGS

pytestmark = pytest.mark.weights
JUNK = b"neither weights nor words " * 40


@pytest.mark.parametrize(
    ("tier", "path", "settings", "load"),
    [
        ("detector", "detector.pt", {"labels": LABELS, "image_size": DETECTOR_SIDE}, load_detector),
        (
            "detector",
            "detector_openvino_model/detector.xml",
            {"labels": LABELS, "image_size": DETECTOR_SIDE},
            load_detector,
        ),
        ("scenes", "scenes.safetensors", SCENE_SETTINGS, load_scenes),
        ("describer", "describer/config.json", {"prompt": "?"}, FastVlmDescriber),
    ],
)
def test_junk_with_a_correct_checksum_is_refused_by_name(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tier: str,
    path: str,
    settings: dict[str, object],
    load: Callable[..., object],
) -> None:
    monkeypatch.setenv("SCENE_ARIA_TRUST", hashlib.sha256(JUNK).hexdigest())
    place = tmp_path / path
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(JUNK)
    (tmp_path / f"{tier}.json").write_text(json.dumps(settings), encoding="utf-8")
    write_manifest(tmp_path, "0")
    files: PackFiles = find_pack(tier, "pocket", pocket=tmp_path)
    with pytest.raises(MissingPart, match="git checkout models/pocket") as caught:
        load(files, "cpu")
    line = str(caught.value)
    assert path.split("/")[0] in line
    assert "\n" not in line
