"""How long it takes from the end of a spoken wake phrase to the answer's first sample, end to end.

`python -m experiments.latency.answers` lets espeak-ng speak "okay nabu" into a WAV file and plays
it to the engine's ear in real time, behind a synthetic camera (15 frames per second, of the sample)
and in front of a sink that records when it receives sound, in each mode: quick, full, auto.
Obstacle alerts are off, so that every sound belongs to an answer; the detector still runs on every
frame. The last line is JSON: `quick` and `full`, each with `p50_ms` and `p95_ms` from the time the
wake engine fired to the first sample of the answer, `wake_delay_ms` (from the phrase's end to that
time), `auto` (first sound, and the second beat: from the wake to FastVLM's first words), and the
stages.

`full` is mode=full, whose first sound is FastVLM's. The budgets (engine.core.budgets) run from the
request to the first sound, so the total that is compared with them includes the wake engine's
delay.

With a `--checkpoint` of random weights (`experiments.fastvlm.random_weights`) the answer is noise
without commas, so it is a single clause; `--tokens 8` gives it the length of a typical first
clause.
"""

import argparse
import bisect
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console

from engine.app.builders.loops import build_live
from engine.app.session import session
from engine.config import DescriberConfig, SourceConfig, TriggerConfig, WakeConfig
from engine.core.budgets import ANSWER_MS
from engine.core.camera import Frame, Intrinsics
from engine.core.errors import InputError
from engine.core.ports import Clock, WakeEngine
from engine.core.sound import Pcm
from engine.devices.sound.recording import Recording
from experiments.common import (
    add_device,
    add_pack,
    at_least_one,
    command_parser,
    hardware,
    hardware_line,
    last_line,
    table_of,
)
from experiments.latency.obstacle_stage import ProbeSink, SyntheticCamera, staged
from experiments.latency.throughput import configuration, quiet_screen, sample_frames
from experiments.quality.synthetic_speech import in_a_row, pause, say, with_noise, write_wav

# Aims for p50 and p95, from the wake to the first sample.
AIMS_MS = {"quick": (60.0, 100.0), "full": (None, 400.0)}
VOICES = (("gmw/en-us", 150), ("gmw/en", 170), ("gmw/en-us+m3", 190), ("gmw/en-us", 190))
LEAD_IN_S = 2.0  # of silence, while the first frames are processed
STAGES = (
    "capture", "classify", "route", "template", "describer_first_token", "describer_total",
    "speech_first_audio",
)  # fmt: skip


class ProbeWake:
    """The session's wake engine, which also records when it fired."""

    def __init__(self, inner: WakeEngine, clock: Clock) -> None:
        self.name, self.phrase = inner.name, inner.phrase
        self.frame_samples, self.delay_s = inner.frame_samples, inner.delay_s
        self.fired_s: list[float] = []
        self._inner, self._clock = inner, clock
        self._hears = False

    @property
    def hint(self) -> bool:
        return self._inner.hint

    def hear(self, frame: Pcm) -> bool:
        before, self._hears = self._hears, self._inner.hear(frame)
        if self._hears and not before:
            self.fired_s.append(self._clock.now())
        return self._hears

    def close(self) -> None:
        self._inner.close()


@dataclass(frozen=True, slots=True)
class AnswerTiming:
    """The latency of one answer."""

    wake_delay_ms: float  # from the phrase's end until the wake engine fired
    first_ms: float  # from the wake to the first sample at the sink
    stages: dict[str, float]


@dataclass(frozen=True, slots=True)
class ModeRun:
    """The answers that were heard in one mode, and the number of questions."""

    answers: tuple[AnswerTiming, ...]
    asked: int

    def percentile(self, share: float) -> float:
        return float(np.percentile([a.first_ms for a in self.answers], share))

    def stage(self, name: str) -> list[float]:
        return [a.stages[name] for a in self.answers if name in a.stages]


def script(count: int, gap_s: float, path: Path) -> list[float]:
    """Write the wake phrases to `path`; return the time at which each one's last sound ends."""
    phrases = [say("okay nabu", *VOICES[i % len(VOICES)]) for i in range(count)]
    # Gaps vary, so that phrases are not synchronised with the camera or the blocks of sound.
    gaps = [LEAD_IN_S] + [gap_s + 0.0137 * (i % 7) for i in range(count - 1)]
    samples, ends = in_a_row(phrases, gaps)
    write_wav(path, with_noise(np.concatenate([samples, pause(gap_s)]), 40.0, seed=0))
    return ends


def ask(args: argparse.Namespace, mode: str, frames: Sequence[Frame], folder: Path) -> ModeRun:
    """Ask every question in one mode and time the answers."""
    wav = folder / "asked.wav"
    count = args.questions + args.warm_ups
    ends = script(count, args.gap, wav)
    base = configuration(args.pack, args.device, SourceConfig(name="sample"))
    describer = DescriberConfig(
        max_new_tokens=args.tokens,
        image_size=args.image_size,
        path=args.checkpoint,
        precision=args.precision,
    )
    config = replace(
        base,
        models=replace(base.models, describer=describer),
        answer=replace(base.answer, deadline_s=args.deadline),
        mode=mode,
        router=replace(base.router, threshold=0.0),  # auto escalates every answer: two beats
        obstacles=replace(base.obstacles, enabled=False),
        trigger=TriggerConfig(name="wake", wake=WakeConfig(path=str(wav), command_s=0.0)),
    )
    camera = frames[0].intrinsics
    assert isinstance(camera, Intrinsics)  # the sample's are a pinhole's
    with session(config, folder / mode, quiet_screen()) as running:
        running.loading.wait()
        clock = running.clocks.wall
        assert running.ear is not None
        ear = running.ear.get()
        assert isinstance(ear.source, Recording)
        wake = ProbeWake(ear.wake, clock)
        ear.wake = wake
        sink = ProbeSink(running.speech.sink, clock)
        length = round((ends[-1] + args.gap) * args.fps)
        images = [frame.image for frame in frames]
        source = SyntheticCamera(images, camera, args.fps, length, clock)
        build_live(staged(running, source, sink)).run()
        running.observers.log.close()
        if ear.hearing.wakes != len(wake.fired_s):
            raise InputError(f"mode={mode}: expected every wake to be taken, got {ear.hearing}")
        start_s = ear.source.start_s
    assert start_s is not None
    truth = [start_s + end_s for end_s in ends]
    answers = matched(folder / mode / "session.jsonl", truth, wake.fired_s, sink.loud_s)
    if not answers:
        raise InputError(f"mode={mode}: expected answers to be heard, got none")
    return ModeRun(tuple(a for at, a in answers if at >= args.warm_ups), args.questions)


def matched(
    log: Path, truth_s: Sequence[float], fired_s: Sequence[float], loud_s: Sequence[float]
) -> list[tuple[int, AnswerTiming]]:
    """Each answer of the session, with the number of the phrase that asked for it.

    A wake belongs to the last phrase that ended before it; answers belong to the wakes in order.
    The first sample is in the first block that is not silent after the start that the log gives.
    """
    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    descriptions = [r for r in records if r["type"] == "description"]
    descriptions.sort(key=lambda r: r["id"])
    if len(descriptions) != len(fired_s):
        raise InputError(f"expected an answer a wake, got {len(descriptions)} for {len(fired_s)}")
    found = []
    for at_s, record in zip(fired_s, descriptions, strict=True):
        stages = {k: v for k, v in record["latency_ms"].items() if v is not None}
        phrase = bisect.bisect_right(truth_s, at_s) - 1
        if "end_to_end" not in stages or phrase < 0:
            continue
        # The log counts from the engine's estimate of the phrase's end; here the time at which the
        # wake engine fired is known.
        started_s = at_s + (stages["end_to_end"] - stages["wake"]) / 1000
        place = bisect.bisect_left(loud_s, started_s - 1e-3)
        if place < len(loud_s):
            delay_ms = 1000 * (at_s - truth_s[phrase])
            found.append((phrase, AnswerTiming(delay_ms, 1000 * (loud_s[place] - at_s), stages)))
    return found


def show(runs: dict[str, ModeRun], console: Console) -> None:
    """Print the stages of every mode, and the totals against the budgets and aims."""
    title = "from the end of the wake phrase to the answer's first sample, ms (p50 / p95)"
    table = table_of(title, "stage", *runs)
    table.add_row("wake", *(_cell([a.wake_delay_ms for a in r.answers]) for r in runs.values()))
    for stage in STAGES:
        table.add_row(stage, *(_cell(r.stage(stage)) for r in runs.values()))
    table.add_section()
    table.add_row(
        "after the wake", *(_cell([a.first_ms for a in r.answers]) for r in runs.values())
    )
    totals = {m: [a.wake_delay_ms + a.first_ms for a in r.answers] for m, r in runs.items()}
    table.add_row("in all", *(_cell(values) for values in totals.values()))
    table.add_row(
        "the budget", *(f"{ANSWER_MS.get(mode, ANSWER_MS['quick']):.0f}" for mode in runs)
    )
    console.print(table)
    for mode, run in runs.items():
        console.print(f"{mode}: {len(run.answers)} of {run.asked} questions answered and heard")


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "–"
    return f"{np.percentile(values, 50):.1f} / {np.percentile(values, 95):.1f}"


def report(args: argparse.Namespace, console: Console, folder: Path) -> dict[str, Any]:
    """Measure every mode; return what the last line says."""
    frames = sample_frames(90)
    seconds = args.questions * (args.gap + 0.8)
    runs: dict[str, ModeRun] = {}
    for mode in args.modes:
        console.print(f"mode={mode}: {args.questions} questions, {seconds:.0f} s ...")
        runs[mode] = ask(args, mode, frames, folder)
    show(runs, console)
    for mode in [name for name in AIMS_MS if name in runs]:
        p50_aim, p95_aim = AIMS_MS[mode]
        p50, p95 = runs[mode].percentile(50), runs[mode].percentile(95)
        aims = [f"p95 {p95:.1f} ms (aim {p95_aim:g})"]
        if p50_aim is not None:
            aims.insert(0, f"p50 {p50:.1f} ms (aim {p50_aim:g})")
        console.print(f"{mode}, beyond the wake engine's delay: {', '.join(aims)}")
    delays = [a.wake_delay_ms for run in runs.values() for a in run.answers]
    result: dict[str, Any] = {
        mode: {"p50_ms": round(run.percentile(50), 3), "p95_ms": round(run.percentile(95), 3)}
        for mode, run in runs.items()
    }
    if "auto" in runs and runs["auto"].stage("describer_first_token"):
        ahead = [
            _ahead(a) + a.stages["describer_first_token"]
            for a in runs["auto"].answers
            if "describer_first_token" in a.stages
        ]
        result["auto"] |= {
            "second_beat_p50_ms": round(float(np.percentile(ahead, 50)), 3),
            "second_beat_p95_ms": round(float(np.percentile(ahead, 95)), 3),
        }
    stages = {
        mode: {s: round(median(run.stage(s)), 3) for s in STAGES if run.stage(s)}
        for mode, run in runs.items()
    }
    return result | {
        "wake_delay_ms": round(median(delays), 3),
        "wake_delay_p95_ms": round(float(np.percentile(delays, 95)), 3),
        "stages_p50_ms": stages,
        "answered": {mode: [len(run.answers), run.asked] for mode, run in runs.items()},
    }


def _ahead(answer: AnswerTiming) -> float:
    """Milliseconds before the describer began."""
    return sum(answer.stages.get(stage, 0.0) for stage in ("capture", "classify", "route"))


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.latency.answers", __doc__)
    add_pack(parser)
    add_device(parser)
    parser.add_argument("--checkpoint", metavar="DIR", help="folder of a FastVLM to use instead")
    parser.add_argument("--image-size", type=int, help="pixels per side of its images")
    parser.add_argument("--precision", default="auto", help="of its weights: int8, int4 ...")
    parser.add_argument("--tokens", type=int, default=16, help="written at most")
    parser.add_argument("--deadline", type=float, default=1.5, help="of its answer, seconds")
    parser.add_argument(
        "--modes", nargs="+", choices=("quick", "full", "auto"), default=["quick", "full", "auto"]
    )
    parser.add_argument("--questions", type=at_least_one, default=14, help="timed in each mode")
    parser.add_argument("--warm-ups", type=int, default=2, help="asked before those, not timed")
    parser.add_argument("--gap", type=float, default=3.5, help="seconds between two questions")
    parser.add_argument("--fps", type=float, default=15.0, help="of the synthetic camera")
    args = parser.parse_args(arguments)
    if args.warm_ups < 0:
        parser.error(f"--warm-ups: expected at least 0, got {args.warm_ups}")
    if args.gap < 1.0:
        parser.error(f"--gap: expected at least 1, got {args.gap}")
    if args.fps < 1:
        parser.error(f"--fps: expected at least 1, got {args.fps}")
    console = Console(highlight=False)
    console.print(f"{hardware_line()}; floor: at worst 20 ms, one block of sound")
    card = hardware()

    def measure() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            result = report(args, console, Path(folder))
        asked = {key: vars(args)[key] for key in ("pack", "checkpoint", "precision")}
        return result | card | asked

    return last_line("experiments.latency.answers", measure)


if __name__ == "__main__":
    sys.exit(main())
