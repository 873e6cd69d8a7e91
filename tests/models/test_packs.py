"""Packs: only files that match the manifest exactly are opened."""

import hashlib
import json
from pathlib import Path

import pytest

from engine.core.errors import MissingPart
from engine.core.files import sha256_of
from models import packs
from models.hub import HUB, TIERS
from models.packs import POCKET, check_packs, choose_form, find_pack, write_manifest
from models.trust import POCKET_DETECTOR, TRUST, is_trusted

POCKET_FILES = {
    "detector.pt": b"pickle",
    "detector.json": b'{"name": "eye", "image_size": 320}',
    "detector_openvino_model/detector.xml": b"<net/>",
    "detector_openvino_model/detector.bin": b"weights",
    "scenes.safetensors": b"tensors",
    "scenes_openvino_model/fastvit.xml": b"<net/>",
    "scenes.json": b'{"labels": []}',
    "describer/model.safetensors": b"tensors too",
    "describer/config.json": b"{}",
    "describer.json": b'{"prompt": "?"}',
}


def write_pack(root: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    write_manifest(root, "0")
    return root


@pytest.fixture
def pocket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(TRUST, hashlib.sha256(b"pickle").hexdigest())
    return write_pack(tmp_path / "pocket", POCKET_FILES)


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    return tmp_path / "hub"


@pytest.mark.parametrize("tier", TIERS)
def test_auto_takes_a_tier_from_the_hub_only_if_it_was_pulled(
    tier: str, pocket: Path, hub: Path
) -> None:
    assert find_pack(tier, "auto", pocket=pocket, hub=hub).pack == "pocket"
    write_pack(hub / "scenes", {"model.safetensors": b"hub", "config.json": b"{}"})
    expected = "hub" if tier == "scenes" else "pocket"
    assert find_pack(tier, "auto", pocket=pocket, hub=hub).pack == expected


def test_a_pull_without_a_manifest_does_not_count(pocket: Path, hub: Path) -> None:
    write_pack(hub / "scenes", {"model.safetensors": b"hub"})
    (hub / "scenes" / "manifest.json").unlink()
    assert find_pack("scenes", "auto", pocket=pocket, hub=hub).pack == "pocket"
    with pytest.raises(MissingPart, match="python -m models pull"):
        find_pack("scenes", "hub", pocket=pocket, hub=hub)


def test_each_tier_has_only_its_files(pocket: Path) -> None:
    names = {tier: set(find_pack(tier, "pocket", pocket=pocket).files) for tier in TIERS}
    assert names["scenes"] == {
        "scenes.safetensors",
        "scenes.json",
        "scenes_openvino_model/fastvit.xml",
    }
    assert set.union(*names.values()) == set(POCKET_FILES)
    assert sum(map(len, names.values())) == len(POCKET_FILES)


def test_undamaged_files_are_opened(pocket: Path) -> None:
    files = find_pack("detector", "pocket", pocket=pocket)
    assert files.open("detector.pt").read_bytes() == b"pickle"
    assert files.open("detector_openvino_model").is_dir()
    assert files.settings() == {"name": "eye", "image_size": 320}
    assert not files.damage()


@pytest.mark.parametrize(
    ("name", "content", "opened", "got"),
    [
        ("detector.pt", b"PICKLE", "detector.pt", "sha256"),
        ("detector.pt", b"longer than that", "detector.pt", "bytes"),
        ("detector.pt", None, "detector.pt", "nothing there"),
        ("detector_openvino_model/detector.bin", b"w", "detector_openvino_model", "bytes"),
        ("detector_openvino_model/another.xml", b"<x/>", "detector_openvino_model", "one more"),
        ("detector.pt", b"pickle", "detector.onnx", "none"),
    ],
)
def test_a_file_that_differs_is_refused_by_name(
    pocket: Path, name: str, content: bytes | None, opened: str, got: str
) -> None:
    path = pocket / name
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MissingPart, match=got) as caught:
        find_pack("detector", "pocket", pocket=pocket).open(opened)
    assert "git checkout models/pocket" in str(caught.value)
    assert (name if opened != "detector.onnx" else opened) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pickle_is_not_opened_on_the_word_of_the_manifest_beside_it(
    pocket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(TRUST)
    files = find_pack("detector", "pocket", pocket=pocket)
    digest = hashlib.sha256(b"pickle").hexdigest()
    with pytest.raises(MissingPart, match=f"which may run any code.*{TRUST}={digest}"):
        files.open("detector.pt")
    assert files.open("detector_openvino_model").is_dir()  # holds no code
    monkeypatch.setenv(TRUST, f"{'0' * 64}, {digest.upper()}")
    assert files.open("detector.pt").is_file()


def test_the_shipped_and_the_published_pickles_are_trusted() -> None:
    assert sha256_of(POCKET / "detector.pt") == POCKET_DETECTOR  # else write the new one there
    assert is_trusted(POCKET_DETECTOR)
    assert is_trusted(HUB["detector"].sha256["yolo11n.pt"])
    assert not is_trusted("")


@pytest.mark.parametrize("content", ["", "[]", "{", '{"files": {"detector.pt": {}}}'])
def test_a_broken_manifest_is_refused_in_one_line(pocket: Path, content: str) -> None:
    (pocket / "manifest.json").write_text(content, encoding="utf-8")
    with pytest.raises(MissingPart, match="manifest"):
        find_pack("detector", "pocket", pocket=pocket)


def test_settings_that_are_not_json_are_refused(pocket: Path) -> None:
    write_pack(pocket, {"detector.json": b"{"})
    with pytest.raises(MissingPart, match=r"detector\.json"):
        find_pack("detector", "pocket", pocket=pocket).settings()


@pytest.mark.parametrize(
    ("tier", "asked", "device", "chosen"),
    [
        ("detector", "auto", "cpu", "openvino"),
        ("detector", "auto", "cuda", "torch"),
        ("detector", "torch", "cpu", "torch"),
        ("detector", "openvino", "cuda", None),
        ("detector", "onnx", "cpu", None),
        ("scenes", "auto", "cpu", "openvino"),
        ("scenes", "auto", "cuda", "torch"),
        ("scenes", "openvino", "cpu", "openvino"),
        ("describer", "onnx", "cpu", None),
    ],
)
def test_a_requested_backend_is_never_replaced(
    pocket: Path, tier: str, asked: str, device: str, chosen: str | None
) -> None:
    files = find_pack(tier, "pocket", pocket=pocket)
    if chosen is None:
        with pytest.raises(MissingPart, match=f"models.backend={asked}"):
            choose_form(files, asked, device)
    else:
        assert choose_form(files, asked, device)[0] == chosen


def test_openvino_that_is_not_installed_is_refused(
    pocket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name != "openvino" or None)
    files = find_pack("detector", "pocket", pocket=pocket)
    assert choose_form(files, "auto", "cpu")[0] == "torch"
    with pytest.raises(MissingPart, match="pip install openvino"):
        choose_form(files, "openvino", "cpu")


def test_torch_that_is_not_installed_is_refused(
    pocket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name != "torch" or None)
    files = find_pack("detector", "pocket", pocket=pocket)
    assert choose_form(files, "auto", "cpu")[0] == "openvino"
    with pytest.raises(MissingPart, match=r"pip install -e '\.\[torch\]'"):
        choose_form(files, "torch", "cpu")


def test_a_form_is_opened_only_with_the_weights_that_it_was_made_from(pocket: Path) -> None:
    def form(sha256: str) -> packs.PackFiles:
        facts = {"weights_in": {"fastvit": ["scenes.safetensors", sha256]}}
        path = pocket / "scenes_openvino_model" / "form.json"
        path.write_text(json.dumps(facts), encoding="utf-8")
        write_manifest(pocket, "0")
        return find_pack("scenes", "pocket", pocket=pocket)

    made_from = sha256_of(pocket / "scenes.safetensors")
    assert form(made_from).open("scenes_openvino_model").is_dir()
    (pocket / "scenes.safetensors").write_bytes(b"trained on")
    with pytest.raises(MissingPart, match="expected 7 bytes, got 10"):
        find_pack("scenes", "pocket", pocket=pocket).open("scenes_openvino_model")
    write_manifest(pocket, "1")  # sealed, but not built
    with pytest.raises(MissingPart, match="python -m models build"):
        find_pack("scenes", "pocket", pocket=pocket).open("scenes_openvino_model")


@pytest.mark.parametrize("facts", [b"{", b"[]", b'{"weights_in": []}', b'{"weights_in": {"a": 1}}'])
def test_a_form_without_its_facts_is_refused(pocket: Path, facts: bytes) -> None:
    write_pack(pocket, {"scenes_openvino_model/form.json": facts})
    with pytest.raises(MissingPart, match=r"form\.json: expected the facts of a form"):
        find_pack("scenes", "pocket", pocket=pocket).open("scenes_openvino_model")


def test_damage_is_found_before_anything_loads(
    pocket: Path, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(tier: str, pack: str) -> packs.PackFiles:
        return find_pack(tier, pack, pocket=pocket, hub=hub)

    monkeypatch.setattr(packs, "find_pack", find)
    check_packs("auto")
    (pocket / "describer" / "model.safetensors").unlink()
    check_packs("auto", tiers=("detector", "scenes"))
    with pytest.raises(MissingPart, match=r"describer/model\.safetensors is missing"):
        check_packs("auto")


def test_the_manifest_lists_weights_but_not_itself(pocket: Path) -> None:
    (pocket / "README.md").write_text("notes", encoding="utf-8")
    write_manifest(pocket, "7")
    content = json.loads((pocket / "manifest.json").read_text(encoding="utf-8"))
    assert content["version"] == "7"
    assert set(content["files"]) == set(POCKET_FILES)
