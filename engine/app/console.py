"""The terminal output for a sighted helper or developer: first screen, sounds, answers, latencies.

The wearer never needs it.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TextIO, cast

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from engine.core.answer import Description
from engine.core.budgets import ANSWER_MS
from engine.core.clock import MonotonicClock
from engine.core.outlet import Outlet
from engine.core.report import Health, ModelCard
from engine.core.utterance import Utterance
from engine.language.commands import SHOWN

ROUTED = ("describe", "more")  # the requests whose answers a router chooses
MARKS = {"alert": "[yellow]heard[/]", "status": "[cyan]heard[/]"}


MAX_WAITING = 1000  # writes that a stalled terminal has not taken yet
CLOSE_S = 2.0  # wait for the terminal at the end


class PrintingThread:
    """A text file for rich, which hands each write to `outlet`, so that a stalled terminal (Ctrl-S, a pipe
    that nobody reads) stops only the printing thread. After an OSError it discards everything."""

    def __init__(self, file: TextIO, outlet: Outlet) -> None:
        self._file = file
        self._outlet = outlet
        self._broken = False

    def write(self, text: str) -> int:
        if not self._broken:
            self._outlet.put(partial(self._write, text))
        return len(text)

    def flush(self) -> None:
        """Nothing to do: the thread flushes after each write."""

    def isatty(self) -> bool:
        return self._file.isatty()

    def fileno(self) -> int:
        return self._file.fileno()

    @property
    def encoding(self) -> str:
        return self._file.encoding

    def _write(self, text: str) -> None:
        if self._broken:
            return
        try:
            self._file.write(text)
            self._file.flush()
        except (OSError, ValueError):  # a closed pipe, a full disk; a closed file
            self._broken = True
            _discard(self._file)


def _discard(file: TextIO) -> None:
    """Send what `file` still holds to nowhere, or Python would fail to write it at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, file.fileno())
        os.close(nowhere)


class Screen:
    """Prints to a rich console. Safe to call from any thread, and never waits for the terminal.
    For a `job` of a sweep, it prints only faults, the progress, and one line at the end."""

    def __init__(self, console: Console | None = None, job: str = "") -> None:
        self.outlet = Outlet("screen", MonotonicClock(), MAX_WAITING)
        file = PrintingThread(sys.stdout, self.outlet)
        self.console = console or Console(file=cast(TextIO, file), highlight=False, emoji=False)
        self._job = job
        self._lock = threading.Lock()
        self._progress: Progress | None = None

    def line(self, text: str) -> None:
        with self._lock:
            self.console.print(text, soft_wrap=True)

    def warning(self, line: str) -> None:
        """Print `line` to the standard error."""
        PrintingThread(sys.stderr, self.outlet).write(line + "\n")

    def bell(self, text: str) -> None:
        """Ring the terminal's bell, and print `text`."""
        self.warning(f"\a{text}")

    def close(self) -> None:
        """Let the terminal take what waits, within CLOSE_S."""
        self.outlet.close(CLOSE_S)

    def loading(self) -> None:
        if not self._job:
            self.line("loading models ...")

    def first(
        self,
        *,
        version: str,
        mode: str,
        router: str,
        source: str,
        speech: str,
        trigger: str,
        models: Mapping[str, ModelCard],
        folder: Path,
        keys: bool,
        view: str = "",
        still_loading: Sequence[str] = (),
        fit: str = "",
    ) -> None:
        """Print the settings, the models, and the folder of the session."""
        if self._job:
            self.line(f"{self._job}: {escape(source)}, {escape(router)} ...")
            return
        rows = [("source", source), ("mode", f"{mode}, router {router}")]
        rows += [(tier, described(card)) for tier, card in models.items()]
        rows += [(tier, "still loading") for tier in still_loading]
        rows += [("speed", fit)] if fit else []
        rows += [("speech", speech), ("asks", trigger), ("session", str(folder))]
        if view:
            rows.append(("view", view))
        if keys:
            rows.append(("keys", SHOWN))
        self.settings(f"Scene Aria {version}", rows)

    def settings(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        """Print names with their values."""
        grid = Table.grid(padding=(0, 2))
        for name, value in rows:
            grid.add_row(name, escape(value))
        self.line("")
        with self._lock:
            self.console.print(Panel(grid, title=title, expand=False))

    def loaded(self, tier: str, card: ModelCard, time_s: float) -> None:
        """Print that a model was loaded `time_s` after the start of the session."""
        if not self._job:
            self.line(f"{time_s:7.2f} s  loaded        {tier}: {escape(described(card))}")

    def heard(self, utterance: Utterance, time_s: float) -> None:
        """Print an alert or status that started `time_s` after the session."""
        if utterance.kind == "answer" or not utterance.text or self._job:
            return
        where = f"{utterance.azimuth_deg:+4.0f}°" if utterance.kind == "alert" else "     "
        self.line(f"{time_s:7.2f} s  {MARKS[utterance.kind]}  {where}  {escape(utterance.text)}")

    def description(self, description: Description, time_s: float) -> None:
        """Print what was asked and the answer: of a description, the route and its reasons too."""
        if self._job:
            return
        what = escape(f"{asked(description)}{routed(description)}")
        self.line(f"{time_s:7.2f} s  [green]asked[/]         {what}")
        for beat in description.beats:
            self.line(f"           [green]{beat.tier:>5}[/]         [bold]{escape(beat.text)}[/]")

    def health(self, health: Health) -> None:
        self.line(
            f"[red]health[/]  {escape(health.what)}: {escape(health.detail)}; {health.action}"
        )

    def progress(self, total: int) -> None:
        """Start a progress bar over `total` images; 0 if the number is not known."""
        if self._job and not self.console.is_terminal:
            return
        self._progress = Progress(
            TextColumn("pictures"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self._progress.add_task("pictures", total=total or None)
        self._progress.start()

    def advance(self) -> None:
        if self._progress is not None:
            self._progress.advance(self._progress.task_ids[0])

    def stop_progress(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def last(self, summary: dict[str, Any], folder: Path, files: list[str]) -> None:
        """Print the latencies by stage, compared with the budgets, and the written files."""
        if self._job:
            share = summary["escalation_rate"]
            escalated = "nothing described" if share is None else f"{share:.0%} escalated"
            self.line(
                f"{self._job}: {escalated}, {summary['errors']} errors, in {escape(str(folder))}"
            )
            return
        tiers = summary["latency_ms"]
        shown = [tier for tier in ("quick", "full") if tier in tiers]
        if shown:
            self.latencies(tiers, shown)
        frames = summary["frames"]
        utterances = summary["utterances"]
        self.line(
            f"{frames['processed']} of {frames['seen']} frames at {summary['obstacle_fps']:g} a second, "
            f"{frames['dropped']} dropped; {utterances['spoken']} utterances heard, "
            f"{utterances['dropped']} dropped; peak memory {summary['peak_memory_mb']:.0f} MB; "
            f"{summary['errors']} errors"
        )
        if "quality" in summary:
            figures = ", ".join(
                f"{name} {value:.3f}"
                for name, value in summary["quality"].items()
                if isinstance(value, float)
            )
            self.line(f"quality: {figures or 'not judged, as no picture has labels to judge by'}")
        self.line(f"written to {escape(str(folder))}: {', '.join(files)}")

    def latencies(self, tiers: dict[str, Any], shown: list[str]) -> None:
        """Print the stages of the answers of these tiers."""
        self.line("")
        with self._lock:
            self.console.print(_latency_table(tiers, shown))


def described(card: ModelCard) -> str:
    """A model with its pack, library, precision and device."""
    kind = f"{card.pack} pack, {card.backend} {card.precision} on {card.device}"
    if card.image_size is not None:
        kind += f", {card.image_size} px"
    if card.threads is not None and card.device == "cpu":
        kind += f", {card.threads} thread{'s' if card.threads > 1 else ''}"
    return f"{card.name} ({kind})"


def asked(description: Description) -> str:
    """What was asked, and of which picture: "where bus, street.jpg"."""
    request = description.request
    target = f" {request.target}" if request.target else ""
    picture = f", {description.picture}" if description.picture else ""
    return f"{request.wish}{target}{picture}"


def routed(description: Description) -> str:
    """Why a description came from its tier, and where it was; "" for answers that no router saw."""
    if description.request.wish not in ROUTED:
        return ""
    decision, scene = description.decision, description.scene
    return (
        f": route {decision.tier} (score {decision.score:.2f}, threshold {decision.threshold:.2f}: "
        f"{'; '.join(decision.reasons)}); scene {scene.label} {scene.probability:.2f}"
    )


def _latency_table(tiers: dict[str, Any], shown: list[str]) -> Table:
    table = Table(title="from asking to the first sound, milliseconds (p50 / p95)")
    table.add_column("stage")
    for tier in shown:
        table.add_column(tier, justify="right")
    stages = dict.fromkeys(stage for tier in shown for stage in tiers[tier])
    for stage in [name for name in stages if name != "end_to_end"]:
        table.add_row(stage, *(milliseconds(tiers[tier].get(stage)) for tier in shown))
    table.add_section()
    table.add_row("end_to_end", *(milliseconds(tiers[tier].get("end_to_end")) for tier in shown))
    table.add_row("budget", *(f"{ANSWER_MS[tier]:.0f}" for tier in shown))
    table.add_row("p95 within budget", *(verdict(tier, tiers[tier]) for tier in shown))
    return table


def verdict(tier: str, stages: dict[str, Any]) -> str:
    """Whether a tier's answers met their budget."""
    total = stages.get("end_to_end")
    if total is None:
        return "not heard"
    return "met" if total["p95"] <= ANSWER_MS[tier] else "missed"


def milliseconds(stats: dict[str, float] | None) -> str:
    """The median and the 95th percentile of a stage."""
    return "–" if stats is None else f"{stats['p50']:.1f} / {stats['p95']:.1f}"
