"""The everyday session with the shipped weights, in a process that has no training framework.

Memory and start are compared with a bare process that only loads the same networks, on the same
machine and at the same time of day: a ratio holds on a slow machine too.
"""

import itertools
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from experiments.latency.start import ALERT, timed_lines
from tests.fakes.command import ROOT, session

pytestmark = [pytest.mark.command, pytest.mark.weights]

# What any engine with these networks must do: load each, and run it once.
BARE = """
import json, time
import numpy as np
from PIL import Image
from engine.core.camera import Frame
from engine.devices.video.sample import sample_photo
from engine.recording.totals import peak_memory_mb
from models.describer import open_describer
from models.detector import fit_detector, open_detector
from models.packs import find_pack
from models.reader import open_reader
from models.scenes import open_scenes
frame = Frame(np.asarray(Image.open(sample_photo()).convert("RGB")), 0.0, 0)
fit = fit_detector(find_pack("detector", "pocket"))
open_detector("pocket", "cpu", "auto", fit.threads, fit.image_size).detect(frame)
detected_s = time.monotonic()
open_scenes("pocket").classify(frame)
open_describer("pocket")
open_reader(1).read(frame)
print(json.dumps([detected_s, peak_memory_mb()]))
"""
# A session holds sound, queues, frames, and what its threads have freed. 1.6 was measured; torch
# and the libraries around it would make it 4.
MOST_MEMORY = 2.0
# It imports and opens settings, voice, templates, camera and log too. 2.4 was measured; a start that
# imported a framework again would take 12.
MOST_TIME = 5.0


@dataclass(frozen=True)
class Everyday:
    """A session's records, when its first alert was heard, and what the bare process took. Times in
    seconds from the start of each process. `home` holds the compiled networks."""

    home: Path
    records: list[dict[str, Any]]
    alert_s: float
    bare_detected_s: float
    bare_mb: float


def python(home: Path, *words: str) -> "subprocess.Popen[str]":
    """Start `python WORDS` with the shipped pack and without any framework."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "tests" / "fakes" / "no_frameworks"),
        "SCENE_ARIA_HOME": str(home),
        "SCENE_ARIA_POCKET": str(ROOT / "models" / "pocket"),
    }
    return subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, env=environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def bare(home: Path) -> tuple[float, float]:
    """Seconds until the detector has run, and the peak of memory in MiB."""
    begun_s = time.monotonic()
    *_, last = (line for _, line in timed_lines(python(home, "-c", BARE), begun_s))
    detected_s, peak_mb = json.loads(last)
    return detected_s - begun_s, peak_mb


def measured(home: Path, folder: Path) -> Everyday:
    """The sample, answered once by both tiers, and then the bare process."""
    begun_s = time.monotonic()
    process = python(
        home, "-m", "engine", "mode=auto", "router.threshold=0", "source=sample",
        "source.max_frames=45", "trigger.at_s=0.1", "answer.deadline_s=30", "speech=wav",
        "speech.rate_wpm=450", "screen=plain", f"hydra.run.dir={folder}",
    )  # fmt: skip
    lines = list(timed_lines(process, begun_s))
    assert process.returncode == 0, lines
    alert_s = next(at_s for at_s, line in lines if ALERT.search(line))
    return Everyday(home, session(folder), alert_s, *bare(home))


@pytest.fixture(scope="module")
def everyday(tmp_path_factory: pytest.TempPathFactory) -> Everyday:
    """After a run of the bare process, which compiles the networks and measures the machine."""
    home = tmp_path_factory.mktemp("home")
    bare(home)
    return measured(home, tmp_path_factory.mktemp("run") / "session")


def heard(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [r for r in records if r.get("kind") == kind and r["started_t"] is not None]


def test_an_alert_and_an_answer_of_both_tiers_are_heard(everyday: Everyday) -> None:
    assert heard(everyday.records, "alert")
    (description,) = [r for r in everyday.records if r["type"] == "description"]
    assert {beat["tier"] for beat in description["beats"]} == {"quick", "full"}
    assert description["scene"]["label"] == "street"
    assert len(heard(everyday.records, "answer")) >= 2
    assert not [r for r in everyday.records if r["type"] == "health"]


def test_no_framework_is_held_in_memory(everyday: Everyday) -> None:
    assert everyday.records[-1]["peak_memory_mb"] < MOST_MEMORY * everyday.bare_mb


def test_the_first_alert_waits_for_the_detector_alone(everyday: Everyday, tmp_path: Path) -> None:
    """Where another program takes the processor during one of the two starts, both are repeated."""
    again = (measured(everyday.home, tmp_path / str(number)) for number in range(3))
    starts = itertools.chain([everyday], again)
    assert any(each.alert_s < MOST_TIME * each.bare_detected_s for each in starts)
