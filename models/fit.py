"""Fits the detector to this machine: measures once which picture size and thread count it bears.

The largest size is chosen at which obstacles are still looked at NEEDED_FPS times a second beside a
running description. The result is kept in the user's cache folder. Knows no particular network.
"""

import hashlib
import json
import logging
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.core.errors import in_one_line
from engine.core.files import write_whole
from models import cache_home
from models.runtime.processor import processor_facts

_log = logging.getLogger(__name__)
NEEDED_FPS = 15.0
# The rest of a frame's way through the engine: reading the camera, tracking, alerts, sound.
REST_MS = 8.0
# More threads must be faster by this factor, since they take a core from the description.
WORTH_A_THREAD = 1.25
LEAST_PICTURES, LEAST_S = 5, 0.25  # of one measurement
MOST_DISTURBANCE = 0.2  # of one core, by other programs
IDLE_LOAD = 0.5  # load average of a minute
FILE = "machine.json"

Find = Callable[[Any], object]  # looks for obstacles in an RGB picture (height, width, 3)


@dataclass(frozen=True)
class Fit:
    """The chosen side of the network's input in pixels, and its threads. `fps`: obstacle frames a
    second that this machine bears beside a description. `disturbed`: other programs took much of
    the processor meanwhile, so the first start that finds the machine idle measures again."""

    image_size: int
    threads: int
    fps: float
    disturbed: bool = False


def fit(
    sizes: Sequence[int],
    threads: Sequence[int],
    measure_fps: Callable[[int, int], float],
    key: str,
    folder: Path | None = None,
    others_s: Callable[[], float] = lambda: 0.0,
    idle: Callable[[], bool] = lambda: True,
    clock: Callable[[], float] = time.perf_counter,
) -> Fit:
    """The fit that was kept for `key` in `folder` (default: the cache), else a new one; see `choose`.

    `others_s`: the processor time in core seconds that other programs have used so far; `idle`:
    whether they are quiet. A fit that was measured beside busy ones is used until they are. A
    damaged or unwritable file costs a measurement and a warning in the log.
    """
    path = (cache_home() if folder is None else folder) / FILE
    kept = _read(path)
    with suppress(KeyError, TypeError, ValueError):
        found = Fit(**kept[key])
        usable = found.image_size in sizes and found.threads in threads and found.fps > 0
        if usable and not (found.disturbed and idle()):
            return found
    before_s, begun_s = others_s(), clock()
    chosen = choose(sizes, threads, measure_fps)
    disturbed = others_s() - before_s > MOST_DISTURBANCE * (clock() - begun_s)
    chosen = replace(chosen, disturbed=disturbed)
    _write(path, kept | {key: asdict(chosen)})
    return chosen


def choose(
    sizes: Sequence[int], threads: Sequence[int], measure_fps: Callable[[int, int], float]
) -> Fit:
    """The largest of `sizes` that reaches NEEDED_FPS with one of `threads`, else the smallest.

    `measure_fps(image_size, threads)` gives frames a second beside a description. Of the thread
    counts, the smallest is taken unless more are worth it.
    """
    for size in sorted(sizes, reverse=True):
        best = Fit(size, threads[0], measure_fps(size, threads[0]))
        for count in threads[1:]:
            fps = measure_fps(size, count)
            if fps >= WORTH_A_THREAD * best.fps:
                best = Fit(size, count, fps)
        if best.fps >= NEEDED_FPS:
            break
    return Fit(best.image_size, best.threads, round(best.fps, 1))


def thread_counts(cores: int | None = None) -> tuple[int, ...]:
    """The thread counts worth trying: one leaves the other cores to the answers."""
    if cores is None:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    cores = cores or 1
    return tuple(sorted({1, min(2, cores), max(1, cores // 2)}))


def cpu_name() -> str:
    """The processor's name and, where the system tells, its instructions: a virtual machine may
    have fewer than others of that name."""
    lines = processor_facts().splitlines()
    told = [line for line in lines if line.startswith(("model name", "flags"))]
    if told:
        return "\n".join(dict.fromkeys(told))
    return platform.processor() or platform.machine()


def is_idle() -> bool:
    """Whether other programs have been quiet for the last minute, as far as the system tells."""
    return not hasattr(os, "getloadavg") or os.getloadavg()[0] < IDLE_LOAD


def processor_time_of_others_s() -> float:
    """The processor time in core seconds that other programs have used since the system started; 0
    where it does not tell (it does on Linux)."""
    try:
        line = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0]
        user, nice, system, _idle, _wait, irq, soft_irq, steal = map(int, line.split()[1:9])
    except (OSError, ValueError):
        return 0.0
    busy_s = (user + nice + system + irq + soft_irq + steal) / os.sysconf("SC_CLK_TCK")
    return busy_s - time.process_time()


def key_of(*facts: object) -> str:
    """A short name of the machine and the network that were measured."""
    return hashlib.sha256(json.dumps(facts, default=str).encode()).hexdigest()[:24]


def rate(find: Find, clock: Callable[[], float] = time.perf_counter) -> float:
    """Frames a second of the engine with a detector that looks by `find`, which has been warmed
    up. The median over some pictures, since other programs disturb single ones."""
    picture = np.full((480, 640, 3), 128, np.uint8)
    spans_s: list[float] = []
    begun_s = clock()
    while len(spans_s) < LEAST_PICTURES or clock() - begun_s < LEAST_S:
        before_s = clock()
        find(picture)
        spans_s.append(clock() - before_s)
    return 1.0 / (float(np.median(spans_s)) + REST_MS / 1000)


@contextmanager
def beside(find: Find) -> Iterator[None]:
    """Run `find` again and again in another thread, as a load that stands for a description."""
    picture = np.full((480, 640, 3), 128, np.uint8)
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            find(picture)

    thread = threading.Thread(target=run, name="fit", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _read(path: Path) -> dict[str, Any]:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(kept, dict):
            raise ValueError(f"expected an object, got {type(kept).__name__}")
        return kept
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        _log.warning("%s: %s; measured again", path, in_one_line(error))
        return {}


def _write(path: Path, kept: dict[str, Any]) -> None:
    """Keep the fits, all or none."""
    try:
        write_whole(path, [(json.dumps(kept, indent=1) + "\n").encode()])
    except OSError as error:
        _log.warning("%s: %s; the next start measures again", path, in_one_line(error))
