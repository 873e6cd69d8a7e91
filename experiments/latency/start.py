"""How long the engine takes to start, how much memory it holds, and how fast it then is.

`python -m experiments.latency.start` starts whole sessions as a user would, in processes of their
own, and reads the clock when their lines arrive: the sample with the pocket pack, a 30 fps video,
`--help`, the doctor, and a refused setting. With `--against DIR`, a checkout of another commit, it
starts both in turn and compares them. The last line is JSON: for each version, medians over the
repeats of

    ready_s          process start to "Ready." heard; `loaded_s` to the time from which a question is
                     answered in full ("Ready." waits for an alert that is being said)
    alert_s          process start to the first alert heard
    first_start_s    the same as ready_s with an empty cache: networks compiled, machine measured
    cold_ready_s     with an empty file cache, where the system lets us empty it (`--cold`)
    peak_mb          resident memory at the peak of the sample's session
    sample_fps, video_fps       obstacle frames a second (the sample at 30 frames a second)
    engine_cost_ms   a frame in the engine, in a batch, over the bare network; `engine_cost_cpu_ms`
                     of processor time, which other programs disturb less
    p50_ms, p99_ms, p50_under_describer_ms, p99_under_describer_ms     capture to alert
                     (`--alerts N`: experiments.latency.obstacles of each version)
    help_s, doctor_s, refused_s
    fastvlm_peak_mb  with `--checkpoint DIR` in mode=full at 512 px, int8 encoder and int4 decoder
                     (random weights do), after `python -m models export --checkpoint DIR
                     --precision int4 --image-size 512`, and the same with `--precision int8`
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console

from engine.core.errors import InputError
from experiments.common import (
    add_repeats,
    command_parser,
    hardware,
    hardware_line,
    last_line,
    table_of,
)
from models import cache_home

ROOT = Path(__file__).parents[2]
AIMS = {
    "ready_s": 3.0, "loaded_s": 3.0, "alert_s": 2.5, "first_start_s": 8.0, "peak_mb": 500.0,
    "fastvlm_peak_mb": 1500.0, "sample_fps": 20.0, "video_fps": 20.0, "engine_cost_ms": 2.0,
    "p50_ms": 60.0, "p99_ms": 120.0, "p50_under_describer_ms": 60.0,
    "p99_under_describer_ms": 120.0, "help_s": 0.7, "doctor_s": 2.0, "refused_s": 1.0,
}  # fmt: skip  # on two cores
AT_LEAST = ("sample_fps", "video_fps")
ALERT = re.compile(r"heard +[+-] *\d+°|: alert, ")
TIMEOUT_S = 300.0


@dataclass
class Version:
    """A checkout, the interpreter that runs it, its cache folder, and every figure measured."""

    name: str
    folder: Path
    python: str
    home: Path
    figures: dict[str, list[float]] = field(default_factory=dict)

    def keep(self, **figures: float | None) -> None:
        for name, value in figures.items():
            if value is not None:
                self.figures.setdefault(name, []).append(value)

    def medians(self) -> dict[str, float]:
        return {name: round(median(values), 3) for name, values in self.figures.items()}

    def start(self, *words: str, home: Path | None = None) -> "subprocess.Popen[str]":
        """Start `python WORDS` in the checkout, as a user would."""
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPATH": str(self.folder), "COLUMNS": "200"}
        environment |= {"SCENE_ARIA_HOME": str(home or self.home)}
        return subprocess.Popen(
            [self.python, *words], cwd=self.folder, env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip


def timed_lines(process: "subprocess.Popen[str]", begun_s: float) -> Iterator[tuple[float, str]]:
    """Each line of the process, with the seconds since `begun_s` at which it came."""
    assert process.stdout is not None
    for line in process.stdout:
        yield time.monotonic() - begun_s, line.rstrip()
    process.wait(TIMEOUT_S)


def run_session(version: Version, *settings: str, home: Path | None = None) -> dict[str, Any]:
    """Run one session to its end: the times of its lines in seconds, and its summary.

    Raises InputError if it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "session"
        begun_s = time.monotonic()
        process = version.start(
            "-m", "engine", *settings, "models=pocket", "speech=wav", f"hydra.run.dir={out}",
            home=home,
        )  # fmt: skip
        found: dict[str, Any] = {"ready_s": None, "alert_s": None}
        last = ""
        for at_s, line in timed_lines(process, begun_s):
            last = line or last
            if "Ready." in line and found["ready_s"] is None:
                found["ready_s"] = at_s
            elif ALERT.search(line) and found["alert_s"] is None:
                found["alert_s"] = at_s
        if process.returncode:
            raise InputError(f"{version.name}: a session ended with {process.returncode}: {last}")
        found["summary"] = json.loads((out / "summary.json").read_text(encoding="utf-8"))
        found["loaded_s"] = _loaded_s(out / "session.jsonl", found["ready_s"])
    return found


def _loaded_s(log: Path, ready_s: float | None) -> float | None:
    """When "Ready." was queued, in seconds since the start of the process."""
    for line in log.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        if record["type"] == "utterance" and record["text"] == "Ready." and ready_s is not None:
            return float(ready_s - (record["started_t"] - record["queued_t"]))
    return None


def command_s(version: Version, *words: str) -> float:
    """Seconds until `python WORDS` has ended."""
    begun_s = time.monotonic()
    for _ in timed_lines(version.start(*words), begun_s):
        pass
    return time.monotonic() - begun_s


def last_json(version: Version, *words: str) -> dict[str, Any]:
    """The JSON in the last line of `python WORDS`. Raises InputError if there is none."""
    lines = [line for _, line in timed_lines(version.start(*words), 0.0)]
    try:
        found: dict[str, Any] = json.loads(lines[-1])
    except (IndexError, ValueError):
        raise InputError(f"{version.name}: {' '.join(words)}: {' '.join(lines[-1:])}") from None
    return found


def empty_file_cache(folders: list[Path]) -> str:
    """Make the system forget the content of files, and say how; "" if it does not let us."""
    os.sync()
    try:
        Path("/proc/sys/vm/drop_caches").write_text("3", encoding="ascii")
        return "drop_caches"
    except OSError:
        if not hasattr(os, "posix_fadvise"):
            return ""
    for path in (path for folder in folders for path in folder.rglob("*")):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)
    return "posix_fadvise"


def measure_starts(version: Version, cold: bool, first: bool) -> None:
    """One session on the sample from a warm file cache, and, if asked for, from a cold one and with
    an empty cache folder."""
    found = run_session(version, "mode=auto", "source=sample", "source.fps=30")
    summary = found["summary"]
    version.keep(
        ready_s=found["ready_s"], loaded_s=found["loaded_s"], alert_s=found["alert_s"],
        peak_mb=summary["peak_memory_mb"], sample_fps=summary["obstacle_fps"],
    )  # fmt: skip
    if cold and empty_file_cache([version.folder, Path(sys.prefix) / "lib"]):
        found = run_session(version, "mode=auto", "source=sample")
        version.keep(cold_ready_s=found["ready_s"], cold_alert_s=found["alert_s"])
    if first:
        with tempfile.TemporaryDirectory() as home:
            found = run_session(version, "mode=auto", "source=sample", home=Path(home))
            version.keep(first_start_s=found["ready_s"])


def measure_speed(
    version: Version, video: Path, args: argparse.Namespace, console: Console
) -> None:
    """The video live and in a batch, and, if asked for, the latency of alerts and FastVLM."""
    console.print(f"{version.name}: the video live, then in a batch")
    live = run_session(version, "source=video", f"source.path={video}", "trigger=once")
    version.keep(video_fps=live["summary"]["obstacle_fps"])
    probe = str(Path(__file__).with_name("batch_probe.py"))
    found = last_json(version, probe, str(video), str(args.repeats))
    version.keep(
        batch_ms=found["engine_ms"], network_ms=found["network_ms"],
        engine_cost_ms=found["engine_ms"] - found["network_ms"], image_size=found["image_size"],
        engine_cost_cpu_ms=found["engine_cpu_ms"] - found["network_cpu_ms"],
    )  # fmt: skip
    if args.alerts:
        console.print(f"{version.name}: {args.alerts} alerts, then as many beside a describer")
        words = ("-m", "experiments.latency.obstacles", "--device", "cpu", "--repeats", "1")
        found = last_json(version, *words, "--alerts", str(args.alerts))
        names = ("p50_ms", "p99_ms", "p50_under_describer_ms", "p99_under_describer_ms")
        version.keep(**{name: found[name] for name in names})
    if args.checkpoint is not None:
        (version.home / "exports").symlink_to(cache_home().resolve() / "exports")
        describer = (f"path={args.checkpoint.resolve()}", "image_size=512", "precision=int4")
        settings = [f"models.describer.{word}" for word in describer]
        console.print(f"{version.name}: FastVLM")
        try:
            found = run_session(version, "mode=full", "source=sample", *settings)
            version.keep(fastvlm_peak_mb=found["summary"]["peak_memory_mb"])
        except InputError as error:  # a version that cannot run these forms has no such figure
            console.print(str(error))


def write_clip(folder: Path) -> Path:
    """The sample's approach as a 30 fps video."""
    from experiments.latency.throughput import sample_frames, write_video

    return write_video(folder / "approach.mp4", sample_frames(180), 30.0)


def report(args: argparse.Namespace, console: Console, folder: Path) -> dict[str, Any]:
    """Measure everything in turn; return what the last line says."""
    card = hardware()
    versions = [Version("here", ROOT, sys.executable, folder / "here")]
    if args.against is not None:
        python = args.against_python or sys.executable
        versions.append(Version("before", args.against.resolve(), python, folder / "before"))
    for version in versions:  # compile, measure the machine, fill the file cache
        console.print(f"{version.name}: a first session")
        run_session(version, "mode=auto", "source=sample")
    for turn in range(args.repeats):
        for version in versions:
            measure_starts(version, args.cold, first=turn < args.first_starts)
            version.keep(
                help_s=command_s(version, "-m", "engine", "--help"),
                doctor_s=command_s(version, "-m", "engine.doctor"),
                refused_s=command_s(version, "-m", "engine", "mode=qick"),
            )
            console.print(f"turn {turn + 1}, {version.name}: {version.medians()}")
    video = write_clip(folder)
    for version in versions:
        measure_speed(version, video, args, console)
    medians = {version.name: version.medians() for version in versions}
    show(versions, console)
    if args.plot is not None:
        plot(medians, args.plot)
    return card | {"repeats": args.repeats, **medians}


def show(versions: list[Version], console: Console) -> None:
    """Print every figure beside its aim, with the range of its repeats."""
    table = table_of("medians (least to most)", "figure", *(v.name for v in versions), "aim")
    for name in dict.fromkeys(name for version in versions for name in version.figures):
        cells = []
        for version in versions:
            values = version.figures.get(name, [])
            spread = f" ({min(values):.4g} to {max(values):.4g})" if len(values) > 1 else ""
            cells.append(f"{median(values):.4g}{spread}" if values else "–")
        aim = f"{'≥' if name in AT_LEAST else '≤'} {AIMS[name]:g}" if name in AIMS else ""
        table.add_row(name, *cells, aim)
    console.print(table)


def plot(medians: dict[str, dict[str, float]], path: Path) -> None:
    """Bars of each figure that has an aim, one panel a figure, with the aim as a line."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    names = [name for name in AIMS if name in medians["here"]]
    columns = 4
    rows = -(-len(names) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(11, 2.4 * rows), squeeze=False)
    order = [name for name in ("before", "here") if name in medians]
    for axis, name in zip(axes.flat, names, strict=False):
        axis.bar(order, [medians[v].get(name, 0.0) for v in order], color=["#888888", "#2c7fb8"])
        axis.axhline(AIMS[name], color="#d95f0e", linewidth=1)
        axis.set_title(f"{name} (aim {'≥' if name in AT_LEAST else '≤'} {AIMS[name]:g})", size=9)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.latency.start", __doc__)
    add_repeats(parser, 5, "sessions of each version")
    parser.add_argument("--against", type=Path, help="a checkout of another commit")
    parser.add_argument("--against-python", help="its interpreter, if it has an environment")
    parser.add_argument("--first-starts", type=int, default=3, help="of them with an empty cache")
    parser.add_argument("--cold", action="store_true", help="also from an empty file cache")
    parser.add_argument(
        "--alerts", type=int, default=0, help="time that many alerts (3.2 s each); 0 is none"
    )
    parser.add_argument("--checkpoint", type=Path, help="a FastVLM checkpoint, for its memory")
    parser.add_argument("--plot", type=Path, help="write bars of the figures to this picture")
    args = parser.parse_args(arguments)
    console = Console(highlight=False)
    console.print(hardware_line())

    def measure() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            return report(args, console, Path(folder))

    return last_line("experiments.latency.start", measure)


if __name__ == "__main__":
    sys.exit(main())
