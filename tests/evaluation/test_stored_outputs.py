"""Recordings are read back as written; broken ones are refused in one line."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.answering.grounding import Grounded
from engine.core.errors import InputError
from engine.evaluation import stored_outputs
from engine.evaluation.stored_outputs import StoredAnswer
from engine.language.wording import Words
from routers import Rules
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


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (("width",), -640, "line 2: width: expected a number from 1 to 65535, got -640"),
        (("height",), 0, "line 2: height: "),
        (("time_s",), 1e999, "line 2: time_s: "),
        (("time_s",), "-inf", "line 2: time_s: "),
        (("detect_ms",), -1, "line 2: detect_ms: "),
        (("quick", "speech_ms"), -3.5, "line 2: quick.speech_ms: "),
        (("obstacles", 0, "distance_m"), -3, "line 2: obstacles.0.distance_m: "),
        (("obstacles", 0, "distance_m"), 0, "line 2: obstacles.0.distance_m: "),
        (("obstacles", 0, "bearing_deg"), 400, "line 2: obstacles.0.bearing_deg: "),
        (("obstacles", 0, "box", "x2"), 1, "line 2: obstacles.0.box: expected a box"),
        (("obstacles", 0, "ttc_s"), 1e300, "line 2: obstacles.0.ttc_s: "),
        (("scene", "probability"), 7, "line 2: scene.probability: "),
        (("picture", "blur"), -1, "line 2: picture.blur: "),
        (("obstacles", 0, "side"), "up", "line 2: obstacles.0.side: "),
    ],
)
def test_an_impossible_number_is_refused_with_its_field(
    tmp_path: Path, place: tuple[str | int, ...], value: object, said: str
) -> None:
    path = save_recording(tmp_path / "outputs.jsonl", [make_record(seq) for seq in range(2)])
    lines = path.read_text().splitlines()
    record = json.loads(lines[1])
    put(record, place, value)
    path.write_text(
        "\n".join([lines[0], json.dumps(record), *lines[2:]]).replace("Infinity", "1e999")
    )
    with pytest.raises(InputError) as caught:
        stored_outputs.read(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "end",
    [
        '{"type": "end"}',
        '{"type": "end", "pictures": null}',
        '{"type": "end", "pictures": -2}',
        '{"type": "end", "pictures": 2.0}',
        '{"type": "end", "pictures": "2"}',
        '{"type": "end", "pictures": true}',
        '{"type": "end", "pictures": [2]}',
        '{"type": "end", "pictures": 1e999}',
        '{"type": "end", "pictures": 2}\n{"type": "end", "pictures": 2}',
        '{"type": "end", "pic',
        '{"type": ["end"]}',
        "null",
        "\0\0\0\0",
    ],
)
def test_a_broken_end_is_refused_in_one_line(tmp_path: Path, end: str) -> None:
    path = save_recording(tmp_path / "outputs.jsonl", [make_record(seq) for seq in range(2)])
    path.write_text("\n".join([*path.read_text().splitlines()[:-1], end]))
    with pytest.raises(InputError) as caught:
        stored_outputs.read(path)
    assert "\n" not in str(caught.value)
    assert "line " in str(caught.value)


JUNK: list[object] = [-1, 1e999, 10**400, None, "\ud800", [[]]]


def test_any_wrong_value_is_refused_in_one_line_or_can_be_replayed(tmp_path: Path) -> None:
    path = save_recording(tmp_path / "outputs.jsonl", [make_record()])
    lines = path.read_text().splitlines()
    accepted, refusals = 0, []
    for number, line in enumerate(lines):
        for place in places(json.loads(line)):
            for junk in JUNK:
                changed = json.loads(line)
                put(changed, place, junk)
                text = json.dumps(changed).replace("Infinity", "1e999")
                path.write_text("\n".join([*lines[:number], text, *lines[number + 1 :]]))
                try:
                    _, (record,) = stored_outputs.read(path)
                except InputError as error:
                    refusals.append(str(error))
                    continue
                accepted += 1
                router = Rules(0.5)
                assert 0 <= router.decide(record.glance()).score <= 1
                assert Words("en").describe(record.glance())
                assert record.to_sound_ms(record.full) >= 0
    assert accepted  # names and texts may be anything
    assert not [line for line in refusals if "\n" in line]


def places(value: object, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The place of every value in a JSON object, itself left out."""
    inner = enumerate(value) if isinstance(value, list) else ()
    for key, item in value.items() if isinstance(value, dict) else inner:
        yield (*at, key)
        yield from places(item, (*at, key))


def put(value: Any, place: tuple[str | int, ...], new: object) -> None:
    for key in place[:-1]:
        value = value[key]
    value[place[-1]] = new


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
