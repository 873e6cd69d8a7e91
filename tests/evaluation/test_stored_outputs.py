"""Recordings are read back as written; broken ones are refused in one line."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from engine.answering.grounding import Grounded
from engine.core.errors import InputError
from engine.evaluation import stored_outputs
from engine.evaluation.stored_outputs import StoredAnswer
from engine.language.wording import Words
from tests.fakes.recordings import HEADER, make_record, save_recording


def test_a_recording_is_read_back_as_written(tmp_path: Path) -> None:
    kept = [make_record(seq, people=seq, detect_ms=1 / 3) for seq in range(3)] + [
        make_record(3, truth=None),
        make_record(4, full=replace(make_record().full, error="it broke")),
    ]
    path = save_recording(tmp_path / "outputs.jsonl", kept)
    header, found = stored_outputs.read(path)
    assert header == HEADER
    assert found == [
        replace(record, detect_ms=round(record.detect_ms, 6), time_s=round(record.time_s, 6))
        for record in kept
    ]
    assert not list(tmp_path.glob("*.part"))


def test_a_recording_from_before_clauses_were_stored_is_read(tmp_path: Path) -> None:
    full = StoredAnswer("A man is walking. He waits.", 60.0, 90.0, 95.0, 16.0)
    path = save_recording(tmp_path / "outputs.jsonl", [make_record(full=full)])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for tier in ("quick", "full"):
        del lines[1][tier]["clauses"]
    path.write_text("\n".join(map(json.dumps, lines)))
    (record,) = stored_outputs.read(path)[1]
    assert record.full == full
    clauses = [Grounded("A man is walking.", ()), Grounded("He waits.", ())]
    assert list(record.full.grounded(Words("en"))) == clauses


def test_clauses_are_read_back_one_by_one(tmp_path: Path) -> None:
    clauses = (Grounded("A man.", ()), Grounded("Maybe a dog.", ("dog",)), Grounded("", ("bus",)))
    full = StoredAnswer("A man. Maybe a dog.", 60.0, 90.0, 95.0, 16.0, clauses=clauses)
    path = save_recording(tmp_path / "outputs.jsonl", [make_record(full=full)])
    (record,) = stored_outputs.read(path)[1]
    assert record.full.grounded(Words("en")) == clauses


def test_a_record_gives_the_glance_that_was_routed() -> None:
    record = make_record(7, people=2)
    glance = record.glance()
    assert (glance.frame.seq, glance.frame.width, glance.frame.height) == (7, 640, 480)
    assert (glance.obstacles, glance.scene, glance.picture) == (
        record.obstacles, record.scene, record.picture,
    )  # fmt: skip


def test_the_time_to_the_first_sound_is_the_sum_of_its_stages() -> None:
    record = make_record()
    assert record.to_sound_ms(record.quick) == 10 + 2 + 1 + 15
    assert record.to_sound_ms(record.full) == 10 + 2 + 90 + 16


def broken(kind: str, text: str) -> str:
    """A recording that is broken in one way."""
    lines = text.splitlines()
    second = json.loads(lines[1])
    if kind == "no end":
        return "\n".join(lines[:-1]) + "\n"
    if kind == "cut in a line":
        return text[: len(text) // 2]
    if kind == "a picture missing":
        return "\n".join([lines[0], *lines[2:]]) + "\n"
    if kind == "no header":
        return "\n".join(lines[1:]) + "\n"
    if kind == "empty":
        return ""
    if kind == "no pictures":
        return "\n".join([lines[0], json.dumps({"type": "end", "pictures": 0})])
    if kind == "another version":
        return text.replace('"version": 1', '"version": 99')
    if kind == "not JSON":
        return "hello\n" + text
    if kind == "a list":
        return "[1, 2]\n"
    if kind == "a field missing":
        del second["scene"]
    elif kind == "a text for a number":
        second["classify_ms"] = "soon"
    elif kind == "not finite":
        return text.replace('"classify_ms": 10.0', '"classify_ms": NaN')
    return "\n".join([lines[0], json.dumps(second), *lines[2:]]) + "\n"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("no end", "cut off"),
        ("cut in a line", "cut off"),
        ("a picture missing", "cut off"),
        ("no header", "line 1: type: expected recording, got 'picture'"),
        ("empty", "empty file"),
        ("no pictures", "at least one picture"),
        ("another version", "version 1, got 99"),
        ("not JSON", "line 1: expected a JSON object"),
        ("a list", "line 1: expected a JSON object"),
        ("a field missing", "line 2: scene: Field required"),
        ("a text for a number", "line 2: classify_ms: "),
        ("not finite", "line 2: expected a JSON object"),
    ],
)
def test_a_broken_recording_is_refused_in_one_line(tmp_path: Path, kind: str, said: str) -> None:
    path = save_recording(tmp_path / "outputs.jsonl", [make_record(seq) for seq in range(4)])
    path.write_text(broken(kind, path.read_text()))
    with pytest.raises(InputError) as caught:
        stored_outputs.read(path)
    line = str(caught.value)
    assert said in line
    assert str(path) in line
    assert "\n" not in line


@pytest.mark.parametrize("there", [False, True])
def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "outputs.jsonl"
    if there:
        path.mkdir()
        with pytest.raises(InputError, match=r"record: expected a file that can be written"):
            stored_outputs.Writer(path)
    with pytest.raises(InputError, match="expected a recording that can be read"):
        stored_outputs.read(path)


def test_an_unfinished_recording_leaves_an_earlier_one_intact(tmp_path: Path) -> None:
    path = save_recording(tmp_path / "outputs.jsonl", [make_record()])
    writer = stored_outputs.Writer(path)
    writer.begin(HEADER)
    writer.add(make_record(5))
    writer.close()
    assert [record.seq for record in stored_outputs.read(path)[1]] == [0]
