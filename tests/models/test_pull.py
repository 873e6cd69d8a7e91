"""`python -m models pull`: a download matches all known checksums, or is not kept."""

import hashlib
import urllib.error
from dataclasses import replace
from pathlib import Path

import pytest

from engine.core.errors import MissingPart
from models.__main__ import main
from models.hub import HUB, OPTIONAL, TIERS, HubModel
from models.packs import find_pack, read_manifest
from models.pull import Fetched, git_sha1_of, pull_tier

PUBLISHED = dict(HUB)
GOOD = {"model.safetensors": b"the weights", "config.json": b"{}"}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


class Source:
    """A fake hub with one repository: its files, its checksums, and the revisions requested."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.sha256 = {"model.safetensors": sha256(files["model.safetensors"])}
        self.requested: list[str | None] = []

    def __call__(self, model: HubModel, folder: Path, revision: str | None) -> Fetched:
        self.requested.append(revision)
        for name, content in self.files.items():
            (folder / name).write_bytes(content)
        sums = {
            name: hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            for name, content in self.files.items()
        }
        return Fetched("c0ffee", self.sha256, {"config.json": sums["config.json"]})


@pytest.fixture(autouse=True)
def _unpinned(monkeypatch: pytest.MonkeyPatch) -> None:
    model = HUB["scenes"]
    monkeypatch.setitem(
        HUB, "scenes", HubModel(model.name, model.source, "", 1, model.patterns, {})
    )


def test_the_first_pull_records_and_the_second_only_checks(tmp_path: Path) -> None:
    source = Source(GOOD)
    assert "pulled" in pull_tier("scenes", tmp_path, source)
    manifest = read_manifest(tmp_path / "scenes")
    assert manifest["revision"] == "c0ffee"
    assert manifest["files"]["model.safetensors"]["sha256"] == sha256(b"the weights")
    assert find_pack("scenes", "hub", hub=tmp_path).open("model.safetensors").is_file()
    assert "already here" in pull_tier("scenes", tmp_path, source)
    assert source.requested == [None]


def test_a_first_pull_takes_the_pinned_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(HUB, "scenes", replace(HUB["scenes"], revision="c0ffee"))
    source = Source(GOOD)
    pull_tier("scenes", tmp_path, source)
    assert source.requested == ["c0ffee"]
    monkeypatch.setitem(HUB, "scenes", replace(HUB["scenes"], revision="another"))
    with pytest.raises(MissingPart, match="expected the commit another"):
        pull_tier("scenes", tmp_path / "elsewhere", Source(GOOD))
    assert not (tmp_path / "elsewhere/scenes").exists()


def test_every_model_is_pinned_by_a_commit_or_a_checksum() -> None:
    """Of the scene classifier no public source states a commit; its weights have a checksum."""
    assert all(model.revision or model.sha256 for model in PUBLISHED.values())


def test_damage_is_repaired_from_the_recorded_commit(tmp_path: Path) -> None:
    source = Source(GOOD)
    pull_tier("scenes", tmp_path, source)
    (tmp_path / "scenes" / "model.safetensors").write_bytes(b"the WEIGHTS")
    pull_tier("scenes", tmp_path, source)
    assert source.requested == [None, "c0ffee"]
    assert (tmp_path / "scenes" / "model.safetensors").read_bytes() == b"the weights"


def test_a_difference_from_the_first_pull_is_refused(tmp_path: Path) -> None:
    pull_tier("scenes", tmp_path, Source(GOOD))
    (tmp_path / "scenes" / "config.json").write_bytes(b"{ }")
    changed = Source({**GOOD, "model.safetensors": b"other weights"})
    with pytest.raises(MissingPart, match="first pull's record"):
        pull_tier("scenes", tmp_path, changed)


def test_a_difference_from_the_hubs_metadata_is_refused_and_not_kept(tmp_path: Path) -> None:
    for name in ("model.safetensors", "config.json"):
        source = Source(GOOD)
        source.sha256 = {name: sha256(b"something else")}
        with pytest.raises(MissingPart, match=f"{name}.*the hub's metadata"):
            pull_tier("scenes", tmp_path, source)
        with pytest.raises(MissingPart, match="has not been pulled"):
            find_pack("scenes", "hub", hub=tmp_path)
        assert not list(tmp_path.rglob("*.safetensors"))


def test_a_difference_from_the_published_checksum_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pinned = HubModel("net", "a/b", "", 1, ("*",), {"model.safetensors": "0" * 64})
    monkeypatch.setitem(HUB, "scenes", pinned)
    with pytest.raises(MissingPart, match="published checksum"):
        pull_tier("scenes", tmp_path, Source(GOOD))


def test_an_interrupted_pull_is_not_used(tmp_path: Path) -> None:
    def breaks(model: HubModel, folder: Path, revision: str | None) -> Fetched:
        (folder / "config.json").write_bytes(b"{}")
        raise ConnectionResetError("the peer hung up")

    with pytest.raises(MissingPart, match="cannot reach huggingface"):
        pull_tier("scenes", tmp_path, breaks)
    with pytest.raises(MissingPart, match="has not been pulled"):
        find_pack("scenes", "hub", hub=tmp_path)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file", encoding="utf-8")
    with pytest.raises(MissingPart, match="cannot write"):
        pull_tier("scenes", tmp_path / "home", Source(GOOD))


def test_without_network_it_ends_with_one_line_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.setenv("SCENE_ARIA_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    assert main(["pull", "--only", "detector"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "cannot reach github.com" in error


@pytest.mark.parametrize(
    ("typed", "tiers"),
    [
        ([], TIERS),
        (["detector"], ("detector",)),
        (["--only", "detector"], ("detector",)),
        (["depth"], OPTIONAL),
        (["depth-indoor"], ("depth-indoor",)),
    ],
)
def test_depth_is_pulled_only_if_named(
    monkeypatch: pytest.MonkeyPatch, typed: list[str], tiers: tuple[str, ...]
) -> None:
    pulled: list[str] = []

    def record(tier: str, home: Path) -> str:
        pulled.append(tier)
        return tier

    monkeypatch.setattr("models.pull.pull_tier", record)
    assert main(["pull", *typed]) == 0
    assert tuple(pulled) == tiers


def test_the_list_shows_every_tier_and_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SCENE_ARIA_HOME", str(tmp_path))
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert shown.count("not pulled") == 5
    for tier in (*TIERS, *OPTIONAL):
        assert tier in shown


def test_the_git_object_id_is_that_of_git(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"hello\n")
    assert git_sha1_of(path) == "ce013625030ba8dba906f756967f9e9ca394464a"  # git hash-object
