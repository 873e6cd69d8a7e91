"""The walk report: what the page shows, that it is self-contained, which folders it refuses."""

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from engine.core.answer import Beat, Decision, Description, Request
from engine.core.camera import Frame
from engine.core.clock import VirtualClock
from engine.core.glance import Box, Glance, Mark, SceneClass
from engine.core.report import Health, ModelCard
from engine.core.utterance import Heard, Utterance
from engine.devices.view.rerun_view import FILE, RerunView
from engine.recording.session_log import SessionLog
from experiments.walks.report import main
from tests.fakes.glances import make_obstacle

VOID = {"meta", "img", "br"}
ALERT = Utterance(1, "alert", "Person left", 40.0, 0.5, azimuth_deg=-30.0)


def write_session(folder: Path, *, pictures: bool = False, close: bool = True) -> Path:
    """A session: a person comes from 6 m to 2 m in two seconds and is announced once in time and once
    too late; one answer; the camera stalls."""
    clock = VirtualClock()
    trace = SessionLog(folder, clock, clock)
    card = ModelCard("tiny", "pocket", "cpu", "torch", "fp32")
    trace.session("0.1.0", "auto", "en", "sample", {"detector": card})
    view = RerunView(folder / FILE, trace.since) if pictures else None
    for seq in range(21):
        clock.move_to(seq / 10)
        person = make_obstacle("person", 6 - 0.2 * seq, "left", -30.0, track=7, box=Box(1, 2, 9, 9))
        trace.seen(seq + 3)
        trace.frame(seq, (replace(person, ttc_s=3.0),), {"detect": 12.0, "locate": 0.2})
        if view is not None:
            image = np.full((30, 40, 3), 10 * seq, np.uint8)
            view.show(Glance(Frame(image, seq / 10, seq), (person,)), seq / 10)
    trace.heard(Heard(ALERT, 0.55, 1.5))
    trace.heard(Heard(replace(ALERT, text="<b>Person</b>"), None, None, "stale"))
    marks = tuple(Mark(stage, 0.01 * i) for i, stage in enumerate(("asked", "capture", "template")))
    trace.description(
        Description(
            Request(9, "once", 0.0), 3, "auto", "quick",
            Decision("quick", 0.2, 0.5, ("calm",)), SceneClass("street", 0.9, 0.2, False),
            (Beat("quick", "A street."),), marks,
        )
    )  # fmt: skip
    trace.started(replace(ALERT, kind="answer", answer=9), 2.0)
    trace.health(Health("camera", "no frame for 2 s", "said so"))
    if view is not None:
        view.close()
    if close:
        trace.close()
    assert trace.outlet.flush(30.0)  # the log is written by a thread of its own
    return folder


class Page(HTMLParser):
    """The page's elements with their attributes, its text, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(text)
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += f" {data}"

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def report(folder: Path) -> tuple[str, Page]:
    assert main([str(folder)]) == 0
    assert (folder / "report.html").stat().st_mode & 0o077 == 0  # for its owner alone
    text = (folder / "report.html").read_text(encoding="utf-8")
    return text, Page(text)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page]:
    return report(write_session(tmp_path_factory.mktemp("plain")))


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Page]:
    return report(write_session(tmp_path_factory.mktemp("pictured"), pictures=True))


def test_the_page_shows_what_happened(plain: tuple[str, Page]) -> None:
    _, page = plain
    words = " ".join(page.words.split())
    for part in (
        "21 of 23 frames looked at",
        "1 alerts heard, 1 raised but not heard",
        "Person left 50 heard",  # it waited 50 ms
        "30° left",
        "stale: too late to be of use",
        "person 7 0.0 2.0 2.0 0.1 2.0 left 3.0",
        "person 7 from 6.0 m to 2.0 m, nearest 2.0 m at 2.0 s",
        "quick: end_to_end 1 2000.0 2000.0 2000.0 420 missed",
        "2 of 23 frames (9 %) were skipped",
        "no frame for 2 s",
        "score 0.20, threshold 0.50: calm A street.",
        "No pictures were kept",
    ):
        assert part in words


def test_the_page_is_self_contained(pictured: tuple[str, Page]) -> None:
    text, page = pictured
    for tag in ("script", "link", "iframe", "object"):
        assert not page.all(tag)
    sources = [value for _, a in page.elements for key, value in a.items() if key == "src"]
    assert all(value and value.startswith("data:") for value in sources)
    links = [v for _, a in page.elements for k, v in a.items() if k in ("href", "xlink:href")]
    assert all(value and value.startswith("#") for value in links)
    addresses = set(re.findall(r"https?://[^\s\"'<>]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    ids = Counter(a["id"] for _, a in page.elements if "id" in a)
    assert max(ids.values()) == 1
    assert {link[1:] for link in links if link} <= set(ids)


def test_a_screen_reader_gets_everything(pictured: tuple[str, Page]) -> None:
    _, page = pictured
    assert page.all("html")[0]["lang"] == "en"
    charts = [a for a in page.all("div") if a.get("role") == "img"]
    assert len(charts) == len(page.all("svg")) == len(page.all("figcaption")) == 3
    assert all(a["aria-label"] for a in charts)
    assert all(a.get("aria-hidden") == "true" for a in page.all("svg"))
    assert len(page.all("caption")) == len(page.all("table"))
    assert all(a.get("scope") in ("col", "row") for a in page.all("th"))
    assert all(a.get("alt") for a in page.all("img"))


def test_charts_have_titles_and_units(plain: tuple[str, Page]) -> None:
    _, page = plain
    for label in ("What was heard, and when", "time since the start, s", "distance, m",
                  "Latency by stage: p50 / p95", "milliseconds"):  # fmt: skip
        assert label in page.words


def test_spoken_words_are_escaped(plain: tuple[str, Page]) -> None:
    text, page = plain
    assert "<b>Person" not in text
    assert "<b>Person</b>" in page.words


def test_alerts_have_images_only_if_the_session_stored_them(
    tmp_path: Path, plain: tuple[str, Page], pictured: tuple[str, Page]
) -> None:
    assert not plain[1].all("img")
    assert len(pictured[1].all("img")) == 2
    assert "Pictures of 2 of 2 alerts" in pictured[1].words
    write_session(tmp_path)
    (tmp_path / FILE).write_bytes(b"junk")
    _, page = report(tmp_path)
    assert not page.all("img")
    assert "cannot be shown" in page.words


def test_a_walk_on_which_nothing_happened(tmp_path: Path) -> None:
    clock = VirtualClock()
    trace = SessionLog(tmp_path, clock, clock)
    trace.session("0.1.0", "auto", "en", "sample", {})
    trace.close()
    _, page = report(tmp_path)
    for part in ("Nothing was said", "Nothing was tracked", "nothing to time", "Every utterance"):
        assert part in page.words


def test_a_record_type_of_a_later_version_is_ignored(tmp_path: Path) -> None:
    write_session(tmp_path)
    log = tmp_path / "session.jsonl"
    first, *rest = log.read_text().splitlines()
    log.write_text("\n".join([first, '{"type": "weather", "t": 0.1}', *rest]))
    report(tmp_path)


BAD = {
    "missing": "expected a session's folder, got nothing there",
    "file": "expected a session's folder, got a file",
    "no log": "found no session.jsonl in it",
    "empty": "got an empty file",
    "cut": "expected a whole record",
    "unfinished": "expected a summary as the last line, found none",
    "fieldless": "got no 'distance_m'",
    "no object": "expected a whole record",
    "binary": "expected a session's log",
    "other": "expected a session record, found none",
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_ends_in_one_line(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "session"
    log = folder / "session.jsonl"
    if kind == "file":
        folder.write_text("")
    elif kind != "missing":
        write_session(folder, close=kind != "unfinished")
    if kind == "no log":
        log.unlink()
    elif kind == "cut":
        log.write_text(log.read_text()[:-40])
    elif kind == "fieldless":
        log.write_text(log.read_text().replace('"distance_m"', '"meters"'))
    elif kind in ("empty", "no object", "other"):
        log.write_text({"empty": "", "no object": "[1]\n", "other": '{"type": "a", "t": 0}'}[kind])
    elif kind == "binary":
        log.write_bytes(b"\xff\xfe\x00")
    assert main([str(folder)]) == 2
    said = capsys.readouterr().err
    assert BAD[kind] in said
    assert len(said.strip().splitlines()) == 1
    assert not (folder / "report.html").exists()


def test_a_page_that_cannot_be_written_ends_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_session(tmp_path)
    assert main([str(tmp_path), "--out", str(tmp_path / "nowhere" / "page.html")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
