"""Photos, folders, the sample and datasets: their frames, timestamps and labels."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.core.errors import FrameSkipped, InputError
from engine.core.glance import Box, Truth
from engine.devices.video import sample
from engine.devices.video.dataset import DatasetSource
from engine.devices.video.images import FolderSource, ImageSource
from engine.devices.video.sample import DISTANCE_M, ZOOM, SampleSource
from tests.fakes.media import noise, quadrants, refusal, save, shorten, write_dataset

# Photos and folders.


def test_one_photo_is_one_frame(tmp_path: Path) -> None:
    source = ImageSource(save(tmp_path / "a.png", quadrants()))
    assert (len(source), source.live, source.truth(0)) == (1, False, None)
    frame = source.read()
    assert frame is not None
    assert (frame.seq, frame.time_s, frame.name, frame.width, frame.height) == (
        0,
        0,
        "a.png",
        64,
        48,
    )
    assert np.array_equal(frame.image, quadrants())
    assert source.read() is None
    source.close()
    source.close()


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    for name in ("f10.png", "f2.PNG", "F1.jpg", "f2b.bmp"):
        save(tmp_path / name, quadrants())
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "._f0.jpg").write_text("a metadata file of macOS")
    (tmp_path / "inner").mkdir()
    source = FolderSource(tmp_path, fps=4.0)
    assert len(source) == 4
    frames = list(iter(source.read, None))
    assert [frame.name for frame in frames] == ["F1.jpg", "f2.PNG", "f2b.bmp", "f10.png"]
    assert [frame.time_s for frame in frames] == [0, 0.25, 0.5, 0.75]
    assert [frame.seq for frame in frames] == [0, 1, 2, 3]


def test_a_broken_image_in_a_folder_raises_frame_skipped(tmp_path: Path) -> None:
    for name in ("1.png", "2.png", "3.png"):
        save(tmp_path / name, noise())
    shorten(tmp_path / "2.png", 0.5)
    source = FolderSource(tmp_path, fps=2.0)
    first = source.read()
    with pytest.raises(FrameSkipped, match=r"2\.png.*truncated"):
        source.read()
    third = source.read()
    assert first is not None
    assert third is not None
    assert (first.seq, third.seq, third.time_s) == (0, 2, 1.0)
    assert source.read() is None


def test_a_folder_of_mixed_files_gives_its_pictures_and_names_those_it_cannot_read(
    tmp_path: Path,
) -> None:
    (tmp_path / "0.svg").write_text("<svg></svg>")
    (tmp_path / "1.jpg").write_bytes(b"")
    save(tmp_path / "2.png", quadrants())
    (tmp_path / "2.png").rename(tmp_path / "without a suffix")
    (tmp_path / "3.cr2").write_bytes(b"II*\0\x10\0\0\0CR\2\0" + bytes(99))
    (tmp_path / "4.jpg").symlink_to(tmp_path / "4.jpg")  # a loop
    (tmp_path / "5.jpg").symlink_to(tmp_path / "nowhere")
    (tmp_path / "6.jpg").mkdir()
    (tmp_path / "a.pdf").write_bytes(b"%PDF-1.7")
    (tmp_path / "a.mp4").write_bytes(b"\0\0\0\x18ftypisom\0\0\2\0")
    (tmp_path / "notes.txt").write_text("no picture")
    source = FolderSource(tmp_path)
    read, skipped = [], []
    while True:
        try:
            frame = source.read()
        except FrameSkipped as error:
            skipped.append(str(error))
            continue
        if frame is None:
            break
        read.append(frame.name)
    assert read == ["without a suffix"]
    assert [Path(line.split(": expected")[0]).name for line in skipped] == [
        "0.svg", "1.jpg", "3.cr2", "4.jpg", "5.jpg",
    ]  # fmt: skip
    assert "rsvg-convert" in skipped[0]


def test_a_name_that_is_not_utf8_can_be_written_down(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    path.write_bytes(save(tmp_path / "a.png", quadrants()).read_bytes())
    (tmp_path / "a.png").unlink()
    frame = FolderSource(tmp_path).read()
    assert frame is not None
    assert frame.name.encode("utf-8").decode() == "caf\ufffd.png"
    alone = ImageSource(path).read()
    assert alone is not None
    assert alone.name == frame.name


def test_a_folder_of_folders_says_that_they_are_not_searched(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    save(tmp_path / "inner" / "a.png", quadrants())
    assert "only folders" in refusal(lambda: FolderSource(tmp_path))


def test_unusable_folders_are_refused(tmp_path: Path) -> None:
    assert "found none" in refusal(lambda: FolderSource(tmp_path))
    assert "found nothing" in refusal(lambda: FolderSource(tmp_path / "nowhere"))
    path = save(tmp_path / "a.png", noise())
    assert "got a file" in refusal(lambda: FolderSource(path))
    shorten(path, 0.5)
    assert "truncated" in refusal(lambda: FolderSource(tmp_path))


def test_a_closed_folder_gives_nothing(tmp_path: Path) -> None:
    save(tmp_path / "a.png", quadrants())
    source = FolderSource(tmp_path)
    source.close()
    source.close()
    assert source.read() is None


# The sample.


def test_the_sample_is_deterministic_with_frames_of_one_size() -> None:
    source = SampleSource(fps=5, duration_s=6)
    frames = list(iter(source.read, None))
    assert len(frames) == len(source) == 30
    assert {frame.image.shape for frame in frames} == {(640, 480, 3)}
    assert [frame.time_s for frame in frames] == [seq / 5 for seq in range(30)]
    assert [frame.seq for frame in frames] == list(range(30))
    for frame in frames:
        assert frame.image.flags.c_contiguous
        assert not frame.image.flags.writeable
        assert frame.intrinsics is source.intrinsics
    again = SampleSource(fps=5, duration_s=6)
    assert all(
        np.array_equal(frame.image, other.image)
        for frame, other in zip(frames[:3], iter(again.read, None), strict=False)
    )


def test_the_sample_grows_with_its_time_to_collision() -> None:
    source = SampleSource(duration_s=6)
    scales = [source.scale(time_s) for time_s in np.linspace(0, 6, 61)]
    assert scales[0] == 1
    assert scales[-1] == pytest.approx(ZOOM)
    assert all(before < after for before, after in pairwise(scales))
    # time to collision = size / growth rate, at any time
    step_s = 1e-4
    for time_s in (0.0, 2.5, 5.9):
        growth = (source.scale(time_s + step_s) - source.scale(time_s)) / step_s
        left_s = DISTANCE_M / source.speed_m_s - time_s
        assert source.scale(time_s) / growth == pytest.approx(left_s, rel=1e-3)


def test_the_samples_crop_stays_in_the_photo_and_is_never_upscaled() -> None:
    source = SampleSource(duration_s=6)
    for time_s in np.linspace(0, 6, 31):
        left, top, right, bottom = source.window(float(time_s))
        assert left >= 0
        assert top >= 0
        assert right <= 810
        assert bottom <= 1080
        assert right - left >= sample.WIDTH_PX
        assert bottom - top >= sample.HEIGHT_PX


@pytest.mark.command
def test_the_sample_does_not_import_ultralytics() -> None:
    code = (
        "import sys; from engine.devices.video.sample import SampleSource; SampleSource().read(); "
        "sys.exit(bool({'ultralytics', 'torch', 'cv2'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_a_closed_sample_gives_nothing() -> None:
    source = SampleSource()
    source.close()
    source.close()
    assert source.read() is None


# Datasets.


def row(file: str = "images/a.png", **fields: Any) -> dict[str, Any]:
    return {"file": file, "width": 64, "height": 48, **fields}


def test_a_dataset_gives_images_with_their_labels(tmp_path: Path) -> None:
    folder = write_dataset(
        tmp_path,
        [
            row(boxes=[["bus", 10, 20, 30, 5.5]], scene="street", captions=["A bus."], split="val"),
            "",
            row("images/b.png", boxes=[], licence="whatever", pseudo_boxes="not read"),
            row("images/c.png"),
        ],
    )
    source = DatasetSource(folder, fps=2.0)
    assert len(source) == 3
    frames = list(iter(source.read, None))
    assert [frame.name for frame in frames] == ["images/a.png", "images/b.png", "images/c.png"]
    assert [frame.time_s for frame in frames] == [0.0, 0.5, 1.0]
    assert source.truth(0) == Truth((("bus", Box(10, 20, 40, 25.5)),), "street", ("A bus.",))
    assert source.truth(1) == Truth(boxes=())  # labelled as empty
    assert source.truth(2) == Truth(boxes=None)  # without labels
    assert source.truth(3) is None
    assert source.truth(-1) is None


def test_a_split_keeps_images_and_labels_aligned(tmp_path: Path) -> None:
    rows = [row(f"{i}.png", scene=f"s{i}", split="train" if i % 2 else "val") for i in range(6)]
    source = DatasetSource(write_dataset(tmp_path, rows), split="train")
    frames = list(iter(source.read, None))
    assert [frame.name for frame in frames] == ["1.png", "3.png", "5.png"]
    assert [frame.seq for frame in frames] == [0, 1, 2]
    scenes = [truth.scene for frame in frames if (truth := source.truth(frame.seq))]
    assert scenes == ["s1", "s3", "s5"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{not json", "JSON object"),
        ("[1, 2]", "JSON object"),
        ("[" * 100_000, "line 2"),
        ({"width": 64, "height": 48}, "'file'"),
        ({**row(), "file": 7}, "'file'"),
        (row(""), "'file'"),
        (row("../elsewhere.png"), "inside"),
        (row("images/../../elsewhere.png"), "inside"),
        (row("..\\elsewhere.png"), "inside"),
        (row("/etc/passwd"), "inside"),
        ({"file": "a.png", "height": 48}, "'width'"),
        (row(width=0), "'width'"),
        (row(height=True), "'height'"),
        (row(height="48"), "'height'"),
        (row(boxes={"bus": 1}), "'boxes'"),
        (row(boxes=[["bus", 1, 2, 3]]), "'boxes'"),
        (row(boxes=[["bus", 1, 2, -3, 4]]), "'boxes'"),
        (row(boxes=[[3, 1, 2, 3, 4]]), "'boxes'"),
        (row(boxes=[["bus", 1, 2, float("nan"), 4]]), "'boxes'"),
        (row(boxes=[["bus", 1, float("inf"), 3, 4]]), "'boxes'"),
        (row(boxes=[["bus", 65, 2, 3, 4]]), "within 64 x 48 pixels"),
        (row(boxes=[["bus", 1, -9, 3, 4]]), "within 64 x 48 pixels"),
        (row(scene=["street"]), "'scene'"),
        (row(captions="one text"), "'captions'"),
        (row(split=1), "'split'"),
    ],
)
def test_a_malformed_line_is_refused_with_its_number(
    tmp_path: Path, line: dict[str, Any] | str, says: str
) -> None:
    folder = write_dataset(tmp_path, [row(), line])
    with pytest.raises(InputError) as caught:
        DatasetSource(folder)
    message = str(caught.value)
    assert "manifest.jsonl, line 2" in message or says == "line 2"
    assert says in message
    assert "\n" not in message
    assert len(message) < 400


def test_a_box_that_extends_beyond_the_image_is_kept(tmp_path: Path) -> None:
    truth = DatasetSource(write_dataset(tmp_path, [row(boxes=[["bus", -5, 2, 90, 40.1]])])).truth(0)
    assert truth is not None
    assert truth.boxes == (("bus", Box(-5.0, 2.0, 85.0, 42.1)),)


def test_a_manifest_with_a_bom_and_crlf_is_read(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path, [row(), row("b.png")])
    manifest = folder / "manifest.jsonl"
    text = manifest.read_text(encoding="utf-8").replace("\n", "\r\n")
    manifest.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert len(DatasetSource(folder)) == 2


def test_unusable_datasets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found nothing"):
        DatasetSource(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"manifest\.jsonl: expected a dataset's manifest"):
        DatasetSource(tmp_path)
    (tmp_path / "manifest.jsonl").write_bytes(b"\n\n")
    with pytest.raises(InputError, match="at least one picture"):
        DatasetSource(tmp_path)
    (tmp_path / "manifest.jsonl").write_bytes(b'{"file": "\xff"}')
    with pytest.raises(InputError, match="UTF-8"):
        DatasetSource(tmp_path)
    write_dataset(tmp_path, [row(split="val"), row("b.png", split="test")])
    with pytest.raises(InputError, match=r"source\.split=train.*test, val"):
        DatasetSource(tmp_path, split="train")
    (tmp_path / "images" / "a.png").unlink()
    with pytest.raises(InputError, match=r"a\.png: .*found nothing"):
        DatasetSource(tmp_path)


def test_a_later_image_that_is_broken_or_of_another_size_raises_frame_skipped(
    tmp_path: Path,
) -> None:
    names = ["1.png", "2.png", "3.png", "4.png"]
    shorten(save(tmp_path / "2.png", noise()), 0.5)
    save(tmp_path / "3.png", quadrants(48, 64))
    source = DatasetSource(write_dataset(tmp_path, [row(name) for name in names]))
    assert source.read() is not None
    with pytest.raises(FrameSkipped, match="truncated"):
        source.read()
    with pytest.raises(FrameSkipped, match="line 3 of"):
        source.read()
    last = source.read()
    assert last is not None
    assert last.seq == 3
    assert source.read() is None
