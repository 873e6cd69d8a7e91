"""Plots FastVLM's latency rows as stacked bars, with their floors and the 500 ms target."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.fastvlm.rows import LatencyRow

TARGET_MS = 500.0  # the target that the original analysis abandoned
PARTS = (("encoder", "tab:blue"), ("prefill", "tab:orange"), ("decode", "tab:green"))
# The axis ends at this multiple of our slowest recipe; longer bars are cut off and labelled.
ROOM = 1.6


def plot(rows: Sequence[LatencyRow], count: int, title: str, path: Path) -> None:
    """One panel for each image size, at `count` tokens."""
    shown = [row for row in rows if row.times is not None and row.tokens == count]
    sides = sorted({row.side_px for row in shown})
    tallest = max((sum(row.side_px == side for row in shown) for side in sides), default=1)
    figure = Figure(figsize=(6 * max(1, len(sides)), 1.5 + 0.35 * tallest), layout="constrained")
    panels = figure.subplots(1, max(1, len(sides)), squeeze=False)[0]
    for axes, side in zip(panels, sides, strict=False):
        _panel(axes, [row for row in shown if row.side_px == side])
        axes.set(xlabel="milliseconds, p50", title=f"{side} px, {count} tokens")
    panels[0].legend(fontsize=7, loc="lower right")
    figure.suptitle(title, fontsize=9)
    figure.savefig(path, dpi=100)


def _panel(draw: Any, rows: Sequence[LatencyRow]) -> None:
    ours = [row.p50() for row in rows if row.backend != "baseline"]
    right = ROOM * max([TARGET_MS, *ours])
    for place, row in enumerate(rows):
        if row.times is None:
            continue
        times = row.times
        ends = (times.encoder[0], times.first[0], times.total[0])
        begin = 0.0
        for (name, colour), end in zip(PARTS, ends, strict=True):
            label = name if place == 0 else None
            draw.barh(place, max(0.0, end - begin), left=begin, color=colour, label=label)
            begin = max(begin, end)
        draw.text(min(begin, right) , place, f" {row.p50():.0f}", va="center", fontsize=7,
                  ha="left" if begin < 0.9 * right else "right")  # fmt: skip
        if row.floor is not None:
            draw.plot(
                [row.floor.total_ms] * 2, [place - 0.45, place + 0.45], color="black", lw=2,
                label="floor" if place == 0 else None,
            )  # fmt: skip
    draw.axvline(TARGET_MS, ls="--", color="tab:red", label=f"{TARGET_MS:.0f} ms")
    draw.set_yticks(range(len(rows)), [row.recipe for row in rows], fontsize=7)
    draw.set_xlim(0, right)
    draw.invert_yaxis()
