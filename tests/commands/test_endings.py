"""How the real command ends: by a signal, beside a terminal that takes nothing or a thread that
hangs."""

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from engine.app.builders.models import build_detector
from engine.app.builders.perception import reload_perception
from engine.app.builders.sources import build_source
from engine.config import Config
from engine.core.clock import MonotonicClock
from engine.language.wording import Words
from engine.perception.localize import Localizer
from engine.perception.perceive import Perception
from tests.fakes.command import ROOT, describe_here, one

pytestmark = pytest.mark.command


def test_a_hang_up_ends_a_supervised_session_whose_terminal_takes_nothing(tmp_path: Path) -> None:
    """As after Ctrl-S, which stops the output of a terminal; the keyboard is used too."""
    terminal, side = pty.openpty()
    os.write(terminal, b"\x13")
    folder = tmp_path / "session"
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # a process inherits what nohup ignores
    process = subprocess.Popen(
        [
            sys.executable, "-m", "engine", "--supervised", "source=sample", "source.fps=1",
            "speech=silent", "mode=quick", "trigger=once", f"hydra.run.dir={folder}",
        ],
        cwd=ROOT,
        stdin=side,
        stdout=side,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    signal.signal(signal.SIGHUP, before)
    log = folder / "session.jsonl"
    try:
        for _ in range(600):
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)
                break
            if log.exists() and '"Ready."' in log.read_text():
                break
        process.send_signal(signal.SIGHUP)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        os.close(terminal)
        os.close(side)
    assert process.returncode == 130, errors
    assert "interrupted; what was recorded is kept" in errors
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert records[-1] == json.loads((folder / "summary.json").read_text())
    assert [r["text"] for r in records if r["type"] == "utterance"][
        -1
    ] == "I have stopped watching."


@pytest.mark.parametrize("hangs", [True, False])
def test_the_status_is_right_beside_a_thread_that_hangs(hangs: bool) -> None:
    code = (
        "import sys, threading\n"
        "from engine.app.leaving import leave\n"
        "from engine.core.threads import start_thread\n"
        f"start_thread('watch', threading.Event().wait if {hangs} else int)\n"
        "print('flushed', end='')\n"
        "leave(7)\n"
        "sys.exit(3)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stdout) == (7 if hangs else 3, "flushed")


@pytest.mark.weights
def test_without_memory_for_the_describer_the_template_answers_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.app.builders.models.available_mb", lambda: 10.0)
    records = describe_here(tmp_path, "mode=full")
    assert one(records, "description")["tier"] == "quick"
    lost = [r for r in records if r["type"] == "health" and r["what"] == "describer"]
    assert "MB of memory, and 10 MB are left" in lost[0]["detail"]
    said = [r["text"] for r in records if r["type"] == "utterance"]
    reason = Words("en").status("memory_low")
    assert [text for text in said if "long description" in text.lower()] == [reason]


@pytest.mark.weights
def test_a_detector_that_is_loaded_anew_sees_what_the_first_one_saw() -> None:
    config = Config()
    source = build_source(config, "sample")
    frame = source.read()
    assert frame is not None
    detector = build_detector(config, None, 1)
    perception = Perception(detector, Localizer(70.0), MonotonicClock())
    seen = perception.perceive(frame).obstacles
    again = reload_perception(config, perception, source).perceive(frame).obstacles
    assert [item.label for item in again] == [item.label for item in seen]
