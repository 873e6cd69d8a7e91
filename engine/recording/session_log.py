"""Writes the records of a session to `session.jsonl` as they happen, and totals to `summary.json`.

A long session's log goes on in further parts (`engine.core.file_parts`). This module knows the
records, not how they are produced. There are two clocks: `t` is on the session's
timeline, which is virtual in a batch, while latencies are always measured on the host's clock. A
thread of its own does the writing, so that a disk that hangs stops nobody else.
"""

import contextlib
import json
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from engine.core.answer import Description
from engine.core.clock import MonotonicClock
from engine.core.errors import InputError
from engine.core.glance import Obstacle
from engine.core.outlet import Outlet
from engine.core.ports import Clock
from engine.core.report import Answered, Health, Hearing, ModelCard, StreamCount
from engine.core.utterance import Heard, Utterance
from engine.recording.latency import latencies
from engine.recording.log_file import LogFile
from engine.recording.records import (
    description_record,
    obstacle_record,
    stream_record,
    utterance_record,
)
from engine.recording.totals import Totals

# Files of an earlier session in the same folder, which could be mistaken for this one's.
STALE_FILES = ("summary.json", "audio.wav", "failure.json", "traceback.txt")
SUMMARY = "summary.json"
REMEMBERED = 4096  # ids, of requests and utterances
MAX_WAITING = 4096  # records, some seconds of a crowded street
CLOSE_S = 5.0  # wait for the disk at the end of a session
PATIENCE_S = 30.0  # a batch waits for a slow disk, for this long at most


class SessionLog:
    """Writes the log of a session. May be called from any thread.

    Neither a full disk nor one that hangs ends the session. The first failed write is reported
    through `on_full`, counting continues in memory, and `close` still returns the summary. A record
    that finds no room in the queue for `patience_s` (0 when live) is lost and counted.
    """

    def __init__(
        self, folder: Path, timeline: Clock, wall: Clock, patience_s: float = PATIENCE_S
    ) -> None:
        self.folder = folder
        self.path = folder / "session.jsonl"
        self._timeline = timeline
        self._wall = wall
        self._start_s = timeline.now()
        self._lock = threading.RLock()
        self._totals = Totals()
        self._waiting: dict[int, Description] = {}
        self._heard_first: dict[int, float] = {}  # request id → host time of the first sample
        self._silent: set[int] = set()  # requests whose speech was dropped before its start
        self._closed: dict[str, Any] | None = None
        self._first: dict[str, Any] = {}  # the session record
        self.outlet = Outlet("log", MonotonicClock(), MAX_WAITING, patience_s)
        self._lost = 0  # records, of which a health record has told
        self.on_answered: Callable[[Answered], None] = lambda _: None
        self.on_full: Callable[[str], None] = lambda line: print(line, file=sys.stderr)
        self.unwritten: list[str] = []  # files of the session that are missing or not whole
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in STALE_FILES:
                (folder / name).unlink(missing_ok=True)
            self._file: LogFile | None = LogFile(self.path)
        except OSError as error:
            raise InputError(
                f"hydra.run.dir: expected a folder that can be written, got {folder} "
                f"({error.strerror}); choose another with hydra.run.dir=DIR"
            ) from error

    def start(self) -> None:
        """Set the zero of all times to now: the sound begins."""
        self._start_s = self._timeline.now()

    def elapsed_s(self) -> float:
        """Seconds since the start of the session, on its timeline."""
        return self.since(self._timeline.now())

    def since(self, time_s: float) -> float:
        """Seconds from the start of the session to `time_s` on its timeline."""
        return time_s - self._start_s

    # Records.

    def session(
        self, version: str, mode: str, language: str, source: str, models: Mapping[str, ModelCard]
    ) -> None:
        """Write the first record: what runs, and with which models."""
        head = {"version": version, "mode": mode, "language": language, "source": source}
        with self._lock:
            self._first = self._record("session", head)
            self.outlet.put(partial(self._begin, self._first_line(models)))

    def loaded(self, models: Mapping[str, ModelCard]) -> None:
        """More models are loaded: the first record, which stays where it is, names all `models`."""
        with self._lock:
            self.outlet.put(partial(self._correct, self._first_line(models)))

    def _first_line(self, models: Mapping[str, ModelCard]) -> str:
        cards = {tier: asdict(card) for tier, card in models.items()}
        return json.dumps(self._first | {"models": cards}) + "\n"

    def frame(self, seq: int, obstacles: tuple[Obstacle, ...], stages_ms: dict[str, float]) -> None:
        """A frame was processed: write one `obstacle` record for each obstacle."""
        with self._lock:
            self._totals.frame(self._timeline.now())
            for stage, value_ms in stages_ms.items():
                self._totals.latency("obstacle", stage, value_ms)
            for item in obstacles:
                self._write("obstacle", obstacle_record(seq, item))

    def seen(self, count: int) -> None:
        """The source has produced `count` frames so far."""
        with self._lock:
            self._totals.seen = count

    def description(self, description: Description) -> None:
        """An answer is complete. Its record is written once its first sound is heard or dropped."""
        with self._lock:
            self._totals.tiers[description.tier] += 1
            key = description.request.id
            self._forget_before(key - REMEMBERED)
            if key in self._heard_first:
                self._write_description(description, self._heard_first[key])
            elif key in self._silent:
                self._write_description(description, None)
            else:
                self._waiting[key] = description

    def _forget_before(self, request_id: int) -> None:
        """Forget what was heard of requests so old that nothing more of them will come."""
        self._heard_first = {k: v for k, v in self._heard_first.items() if k >= request_id}
        self._silent = {k for k in self._silent if k >= request_id}

    def started(self, utterance: Utterance, _time_s: float) -> None:
        """The first sample of `utterance` was handed to the sink now."""
        if utterance.answer is None:
            return
        with self._lock:
            first_s = self._heard_first.setdefault(utterance.answer, self._wall.now())
            description = self._waiting.pop(utterance.answer, None)
            if description is not None:
                self._write_description(description, first_s)

    def heard(self, heard: Heard) -> None:
        """Write the outcome of an utterance."""
        said = heard.utterance
        with self._lock:
            lost = heard.dropped and heard.started_s is None
            self._totals.utterances["dropped" if lost else "spoken"] += 1
            if said.answer is not None and heard.started_s is None:
                description = self._waiting.pop(said.answer, None)
                if description is not None:
                    self._write_description(description, None)
                elif said.answer not in self._heard_first:
                    self._silent.add(said.answer)
            self._write("utterance", utterance_record(heard, self._since))

    def hearing(self, hearing: Hearing) -> None:
        """Set the ear's counters for the summary."""
        with self._lock:
            self._totals.hearing = hearing

    def health(self, health: Health) -> None:
        """Write that something went wrong, whether or not the session continues."""
        with self._lock:
            self._totals.errors += 1
            self._write("health", asdict(health))

    def note(self, line: str) -> None:
        """Write what the models noted, for example a cache that cannot be written."""
        self.health(Health("models", line, "went on"))

    def close(
        self,
        quality: dict[str, Any] | None = None,
        peak_gpu_memory_mb: float | None = None,
        streams: tuple[StreamCount, ...] = (),
    ) -> dict[str, Any]:
        """Write all pending records, the summary as the last line, and the same to `summary.json`.
        Return the summary. `streams` are the counters of the source's sensor streams, if it has
        any. A second call returns the same summary."""
        with self._lock:
            if self._closed is not None:
                return self._closed
            for description in list(self._waiting.values()):
                self._write_description(description, None)
            self._waiting.clear()
            head = {"type": "summary", "t": self._since(self._timeline.now())}
            done = self.outlet.flush(CLOSE_S)  # a failed write is one of the summary's errors
            summary = self._closed = head | self._totals.summary(peak_gpu_memory_mb)
            if quality is not None:
                summary["quality"] = quality
            if streams:
                summary["streams"] = {item.name: stream_record(item) for item in streams}
            self._write("summary", summary)
            self.outlet.put(partial(self._finish, summary))
        if not self.outlet.close(CLOSE_S if done else 0.0):
            self._not_written(
                self.path,
                f"the disk took nothing for {CLOSE_S:g} s, and {self.outlet.lost} records are lost; "
                "free some space, or use another disk",
            )
        return summary

    def _finish(self, summary: dict[str, Any]) -> None:
        """Close the file and write `summary.json`; in the log's thread."""
        if self._file is not None:
            try:
                self._file.close()
            except OSError as error:
                self._not_written(self.path, f"could not be written ({error.strerror})")
        self._file = None
        path = self.folder / SUMMARY
        try:
            text = json.dumps(summary, indent=2, ensure_ascii=False)
            path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)  # a partial summary is worse than none
            self._not_written(path, f"could not be written ({error.strerror}); free some space")

    def _since(self, time_s: float | None) -> float | None:
        return None if time_s is None else round(self.since(time_s), 4)

    def _write(self, kind: str, fields: dict[str, Any]) -> None:
        with self._lock:
            self._put(self._record(kind, fields))

    def _record(self, kind: str, fields: dict[str, Any]) -> dict[str, Any]:
        return {"type": kind, "t": self._since(self._timeline.now())} | fields

    def _put(self, record: dict[str, Any]) -> None:
        with self._lock:
            line = json.dumps(record, ensure_ascii=False) + "\n"
            lost = self.outlet.lost - self._lost
            if self.outlet.put(partial(self._append, line)) and lost:
                self._lost += lost
                detail = f"{lost} records found no room, as the disk was slow"
                self.health(Health("log", detail, "counted them"))

    # In the log's thread:

    def _begin(self, line: str) -> None:
        self._to_file(lambda file: file.append_first(line))

    def _correct(self, line: str) -> None:
        def correct(file: LogFile) -> None:
            if not file.replace_first(line):  # longer than its room: the last such record counts
                file.append(line)

        self._to_file(correct)

    def _append(self, line: str) -> None:
        self._to_file(lambda file: file.append(line))

    def _to_file(self, write: Callable[[LogFile], None]) -> None:
        if self._file is None:
            return
        try:
            write(self._file)
        except OSError as error:
            self._file = None
            self._totals.errors += 1
            self._not_written(
                self.path,
                f"the log could not be written ({error.strerror}); the session goes on without it; "
                "free some space",
            )

    def _not_written(self, path: Path, why: str) -> None:
        self.unwritten.append(path.name)
        self.on_full(f"{path}: {why}")

    def _write_description(self, description: Description, first_audio_s: float | None) -> None:
        stages = latencies(description.marks, first_audio_s)
        for stage, value_ms in stages.items():
            if value_ms is not None:
                self._totals.latency(description.tier, stage, value_ms)
        self._write("description", description_record(description, stages))
        ran = tuple((stage, value_ms) for stage, value_ms in stages.items() if value_ms is not None)
        self.on_answered(Answered(description, ran))
