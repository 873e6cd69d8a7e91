"""Downloads the hub pack. This is the only code of the project that uses the network.

A model is downloaded to a temporary folder, checked, and only then moved to its place with a
manifest, so that an incomplete download is never used. The first pull records the commit and the
sha256 of every file; later pulls are checked against it. A model with a pinned commit is pulled at
that commit from the first time on. Imports no library that could run a model.
"""

import hashlib
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import wrap_file

from engine.core.errors import MissingPart, message_of
from engine.core.files import sha256_of
from models.hub import HUB, HubModel
from models.packs import PackFiles, read_manifest, read_pack, write_manifest

TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Fetched:
    """The commit, and the checksums if known, that a source states for the files it served."""

    revision: str
    sha256: Mapping[str, str] = field(default_factory=dict)
    git_sha1: Mapping[str, str] = field(default_factory=dict)


Fetch = Callable[[HubModel, Path, str | None], Fetched]


def pull_tier(tier: str, home: Path, fetch: Fetch | None = None) -> str:
    """Make sure that `home/tier` holds the complete model. Returns a one-line status.

    Raises MissingPart if it cannot be downloaded or written, or fails a check.
    """
    model, place = HUB[tier], home / tier
    recorded = _record(tier, place)
    if recorded is not None and not _first_damage(recorded):
        return f"{model.name}: already here, every checksum matches"
    before = "" if recorded is None else str(read_manifest(place).get("revision") or "")
    revision = before or model.revision or None
    staging = home / f".{tier}.partial"
    try:
        staging.mkdir(parents=True, exist_ok=True)
        fetched = (fetch or _fetcher(model))(model, staging, revision)
        if model.revision and fetched.revision != model.revision:
            raise MissingPart(
                f"{model.name}: expected the commit {model.revision[:12]}…, got "
                f"{fetched.revision[:12]}…; nothing was kept; do not trust that source"
            )
        _verify(model, staging, fetched, recorded)
        write_manifest(staging, model.name, {"source": model.source, "revision": fetched.revision})
        if place.exists():
            shutil.rmtree(place)
        staging.replace(place)
    except MissingPart:
        shutil.rmtree(staging, ignore_errors=True)  # a bad download must not be resumed
        raise
    except Exception as error:
        if _is_network(error):
            raise MissingPart(
                f"cannot reach {_host(model)} for {model.name} ({message_of(error, 160)}); check the "
                "connection and pull again; models=pocket needs no network"
            ) from None
        if isinstance(error, OSError):
            raise MissingPart(
                f"cannot write {model.name} to {home}: {message_of(error, 160)}"
            ) from None
        raise
    return f"{model.name}: pulled and checked ({model.licence})"


def _fetcher(model: HubModel) -> Fetch:
    return fetch_file if model.source.startswith("https://") else fetch_repository


def fetch_file(model: HubModel, folder: Path, _revision: str | None) -> Fetched:
    """Download one file from its URL, with a progress bar."""
    name = model.source.rsplit("/", 1)[-1]
    partial = folder / f".{name}"
    with urllib.request.urlopen(model.source, timeout=TIMEOUT_S) as answer:
        size = int(answer.headers.get("Content-Length") or 0)
        with wrap_file(answer, size, description=model.name) as stream, partial.open("wb") as out:
            shutil.copyfileobj(stream, out)
    partial.replace(folder / name)
    return Fetched(revision=model.source)


def fetch_repository(model: HubModel, folder: Path, revision: str | None) -> Fetched:
    """Download one commit of a Hugging Face repository; the checksums come from the hub's API."""
    from fnmatch import fnmatch

    from huggingface_hub import HfApi, snapshot_download

    info = HfApi().model_info(
        model.source, revision=revision, files_metadata=True, timeout=TIMEOUT_S
    )
    wanted = [
        file
        for file in info.siblings or []
        if any(fnmatch(file.rfilename, pattern) for pattern in model.patterns)
    ]
    snapshot_download(
        model.source,
        revision=info.sha,
        local_dir=folder,
        allow_patterns=[file.rfilename for file in wanted],
    )
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    return Fetched(
        revision=info.sha or "",
        sha256={file.rfilename: file.lfs.sha256 for file in wanted if file.lfs},
        git_sha1={file.rfilename: file.blob_id for file in wanted if file.blob_id and not file.lfs},
    )


def _record(tier: str, place: Path) -> PackFiles | None:
    """The files that an earlier pull recorded; None without a readable record."""
    try:
        return read_pack(tier, "hub", place)
    except MissingPart:
        return None


def _first_damage(files: PackFiles) -> str:
    try:
        for name in files.files:
            files.open(name)
    except MissingPart as error:
        return str(error)
    return ""


def _verify(model: HubModel, folder: Path, fetched: Fetched, recorded: PackFiles | None) -> None:
    """Check every file against all known checksums. Raises MissingPart for the first that
    differs."""
    before = {} if recorded is None else {n: sha for n, (sha, _) in recorded.files.items()}
    for known, where in (
        (model.sha256, "the published checksum"),
        (before, "the first pull's record"),
        (fetched.sha256, "the hub's metadata"),
    ):
        for name, expected in known.items():
            _check(model, folder / name, sha256_of, expected, where)
    for name, expected in fetched.git_sha1.items():
        _check(model, folder / name, git_sha1_of, expected, "the hub's metadata")


def _check(
    model: HubModel, path: Path, digest: Callable[[Path], str], expected: str, where: str
) -> None:
    got = digest(path) if path.is_file() else "no such file"
    if got != expected:
        raise MissingPart(
            f"{model.name}: {path.name}: expected {expected[:12]}… by {where}, got {got[:12]}…; "
            "nothing was kept; pull again, and if it happens again, do not trust that source"
        )


def git_sha1_of(path: Path) -> str:
    """The git object id of a file: SHA-1 over `blob <bytes>\\0` and its content."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _is_network(error: Exception) -> bool:
    """Whether the network or the source caused the error, rather than the local disk."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    # The hub's HTTP library differs between releases; the first base class is that library's error.
    kinds: tuple[type[Exception], ...] = (
        HfHubHTTPError.__bases__[0],
        urllib.error.URLError,
        ConnectionError,
        TimeoutError,
        LocalEntryNotFoundError,
    )
    return isinstance(error, kinds)


def _host(model: HubModel) -> str:
    return model.source.split("/")[2] if "://" in model.source else "huggingface.co"
