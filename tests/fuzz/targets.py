"""What is fuzzed: each reader of a file that somebody else may have made, and files to begin with.

A reader may refuse a file with one of the engine's errors, and must do nothing else: no other
exception, no hang, no crash.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from engine.app.settings_guard import check_arguments
from engine.app.wearer_memory import read_kept
from engine.core.errors import EngineError, FrameSkipped
from engine.core.ports import Source
from engine.devices.aria.vrs import VrsSource
from engine.devices.sound.recording import read_pcm
from engine.devices.video.dataset import DatasetSource
from engine.devices.video.images import decode_image
from engine.devices.video.video import VideoSource
from engine.evaluation import stored_outputs
from models.describer import check_image_size
from models.fastvlm.custom_checkpoint import find_checkpoint
from models.packs import find_pack, read_pack
from tests.fakes import aria, media
from tests.fakes.recordings import make_record, save_recording

MOST_FRAMES = 40  # read of a damaged video


@dataclass(frozen=True)
class Target:
    """`seeds` makes files to begin with in a folder; `read` reads one file."""

    name: str  # of the file
    seeds: Callable[[Path], Sequence[Path]]
    read: Callable[[Path], object]
    slow: bool = False  # fewer examples in the suite


def frames(source: Source) -> None:
    """Read a source to its end, or its first MOST_FRAMES frames."""
    try:
        for _ in range(MOST_FRAMES):
            try:
                if source.read() is None:
                    return
            except FrameSkipped:
                continue
    finally:
        source.close()


def pictures(folder: Path) -> list[Path]:
    kinds = ("png", "jpg", "gif", "webp", "tif", "bmp")
    return [media.save(folder / f"a.{kind}", media.noise(24, 16)) for kind in kinds]


def videos(folder: Path) -> list[Path]:
    return [
        media.write_video(folder / "a.mp4", media.even(5)),
        media.write_video(folder / "b.mkv", media.even(3), codec="mjpeg"),
    ]


def dataset(folder: Path) -> list[Path]:
    media.save(folder / "a.png", media.noise(24, 16))
    row = {
        "file": "a.png", "width": 24, "height": 16, "boxes": [["person", 1, 2, 3, 4]],
        "scene": "street", "captions": ["A man."], "split": "test",
    }  # fmt: skip
    media.write_dataset(folder, [row, row])
    return [folder / "manifest.jsonl"]


def manifests(folder: Path) -> list[Path]:
    files = {"scenes.safetensors": {"sha256": "0" * 64, "bytes": 3}, "scenes.json": {}}
    content = {"version": "0", "files": files}
    (folder / "manifest.json").write_text(json.dumps(content))
    return [folder / "manifest.json"]


def read_manifest(path: Path) -> None:
    for tier in ("detector", "scenes", "describer"):
        files = read_pack(tier, "pocket", path.parent)
        files.damage()
        find_pack(tier, "pocket", pocket=path.parent).settings()


def recordings(folder: Path) -> list[Path]:
    return [save_recording(folder / "a.jsonl", [make_record(0), make_record(1)])]


def walks(folder: Path) -> list[Path]:
    return [aria.recording(folder / "a.vrs", aria.GEN1, [(0.0, 0.0, 1.0)])]


def settings_files(folder: Path) -> list[Path]:
    texts = (
        "mode: quick\nhydra: {sweeper: {params: {mode: auto}}}\n",
        "# @package _global_\ndefaults: [{override hydra/launcher: joblib}]\n",
        "hydra: {callbacks: {a: {_target_: os.system}}}\n",
        "a: &a [1, {b: *a}]\n",
    )
    paths = [folder / f"{number}.yaml" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return paths


def read_settings(path: Path) -> None:
    empty = path.parent / "conf"
    empty.mkdir(exist_ok=True)
    check_arguments((), (str(path.parent), None, None), empty)


def checkpoints(folder: Path) -> list[Path]:
    content = {
        "model_type": "fast_vlm", "vision_config": {"image_size": 224, "architecture": "x"},
        "text_config": {"eos_token_id": 1},
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(content))
    return [folder / "config.json"]


def read_checkpoint(path: Path) -> None:
    (path.parent / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    files = find_checkpoint("pocket", str(path.parent))
    files.settings()
    check_image_size(files, 448)


def waves(folder: Path) -> list[Path]:
    import wave

    path = folder / "a.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(np.arange(800, dtype="<i2").tobytes())
    return [path]


TARGETS = {
    "picture": Target("a.png", pictures, decode_image),
    "video": Target("a.mp4", videos, lambda path: frames(VideoSource(path)), slow=True),
    "dataset": Target("manifest.jsonl", dataset, lambda path: frames(DatasetSource(path.parent))),
    "manifest of a pack": Target("manifest.json", manifests, read_manifest),
    "recording": Target("a.jsonl", recordings, stored_outputs.read),
    "settings": Target("a.yaml", settings_files, read_settings),
    "checkpoint": Target("config.json", checkpoints, read_checkpoint),
    "sound": Target("a.wav", waves, read_pcm),
    "walk of glasses": Target("a.vrs", walks, lambda path: frames(VrsSource(path)), slow=True),
    "memory of the wearer": Target("wearer.json", lambda folder: [], read_kept),
}

# Numbers that often break a reader: bounds of fields, and lengths that are not there.
BOUNDS = (b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\xff" * 8, b"-1", b"1e999", b"null", b"[]", b'"')
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["flip", "cut", "insert", "repeat", "end"]),
        st.floats(0.0, 1.0, exclude_max=True),
        st.one_of(st.sampled_from(BOUNDS), st.binary(min_size=1, max_size=12)),
    ),
    max_size=6,
)


def edited(content: bytes, edits: Sequence[tuple[str, float, bytes]]) -> bytes:
    """`content` after the edits, each at a share of its length."""
    data = bytearray(content)
    for what, share, new in edits:
        at = int(share * len(data))
        if what == "flip":
            data[at : at + len(new)] = new
        elif what == "cut":
            del data[at : at + len(new)]
        elif what == "insert":
            data[at:at] = new
        elif what == "repeat":
            data[at:at] = data[at : at + 64] * len(new)
        else:
            del data[at:]
    return bytes(data)


def strategy(target: Target, folder: Path) -> st.SearchStrategy[bytes]:
    """Contents of files: edited seeds, and any bytes."""
    folder.mkdir(exist_ok=True)
    seeds = [path.read_bytes() for path in target.seeds(folder)] or [b"{}"]
    return st.one_of(st.builds(edited, st.sampled_from(seeds), EDITS), st.binary(max_size=200))


def check(target: Target, folder: Path, content: bytes) -> None:
    """Read a file with this content. Raises whatever is not one of the engine's errors, and
    AssertionError for an error that is not one line."""
    path = folder / target.name
    path.write_bytes(content)
    line = "read"
    try:
        target.read(path)
    except EngineError as error:
        line = str(error)
    assert line.strip(), "an error without a word"
    assert "\n" not in line, f"an error of several lines: {line}"
