"""The charts of a walk's report, as SVG to be put into a page. Knows nothing of HTML but that.

Colours are Okabe and Ito's (2008), told apart by colour-blind eyes too; lines also differ by dash and
are named where they end, so that no chart needs its colours.
"""

import io
import re

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from engine.alerts.policy import NEAR_M, NOTICE_M
from engine.core.budgets import ANSWER_MS
from experiments.walks.report_data import Said, Stage, Track, Walk

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#000000", "#E69F00", "#7F7F7F")
DASHES = ("-", "--", "-.", ":")
MOST_M = 12.0  # what is farther concerns nobody yet, and would flatten what is near
MOST_TRACKS = 8  # lines that an eye can still follow
LEFT_RIGHT_DEG = 12.0  # beyond which an alert's lane is left or right
LANES = ("health", "status", "answer", "alert right", "alert ahead", "alert left")
LEAST_S = 0.15  # a sound shorter than this would not show


def lane(said: Said) -> str:
    """The row of the timeline that an utterance belongs to."""
    if said.kind != "alert":
        return said.kind
    if abs(said.azimuth_deg) <= LEFT_RIGHT_DEG:
        return "alert ahead"
    return "alert left" if said.azimuth_deg < 0 else "alert right"


def budget(stage: Stage) -> float | None:
    """Milliseconds that a stage may take, where that was promised."""
    return ANSWER_MS.get(stage.tier) if stage.name == "end_to_end" else None


def short(value_ms: float) -> str:
    """Milliseconds with as many digits as anyone reads."""
    return f"{value_ms:.0f}" if value_ms >= 10 else f"{value_ms:.1f}"


def followed(walk: Walk) -> list[Track]:
    """The tracks that are drawn: those that came nearest, seen more than once."""
    seen = [track for track in walk.tracks if len(track.sightings) > 1]
    nearest = sorted(seen, key=lambda track: track.nearest.distance_m)[:MOST_TRACKS]
    return sorted(nearest, key=lambda track: track.number)


def timeline(walk: Walk) -> str:
    """What was heard when, by kind and direction; crosses are what was not heard."""
    figure, axes = _figure(3.4)
    for said in walk.said:
        row, colour = LANES.index(lane(said)), COLOURS[0 if said.kind == "alert" else 2]
        if said.started_s is None:
            axes.plot(said.queued_s, row, "x", color=COLOURS[1], ms=9, mew=2)
        else:
            length_s = max(LEAST_S, (said.ended_s or said.started_s) - said.started_s)
            axes.barh(row, length_s, left=said.started_s, height=0.6, color=colour)
    for trouble in walk.troubles:
        axes.plot(trouble.time_s, 0, "D", color=COLOURS[5], ms=7)
    axes.set_yticks(range(len(LANES)), LANES)
    axes.set_ylim(-0.6, len(LANES) - 0.4)
    axes.set(title="What was heard, and when", xlabel="time since the start, s")
    axes.set_xlim(0, max(1.0, walk.length_s))
    handles = [
        Patch(color=COLOURS[0], label="alert heard"),
        Patch(color=COLOURS[2], label="answer or status heard"),
        _key("x", COLOURS[1], "not heard"),
        _key("D", COLOURS[5], "health record"),
    ]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=4)
    return _svg(figure, "timeline")


def distances(walk: Walk) -> str:
    """How far each followed track was over time."""
    figure, axes = _figure(4.6)
    farthest_m = max(s.distance_m for track in followed(walk) for s in track.sightings)
    top_m = min(MOST_M, 1.1 * max(NOTICE_M, farthest_m))
    for place, track in enumerate(followed(walk)):
        times = [s.time_s for s in track.sightings]
        metres = [s.distance_m for s in track.sightings]
        colour = COLOURS[place % len(COLOURS)]
        dash = DASHES[place % len(DASHES)]
        axes.plot(times, metres, dash, color=colour, lw=2.2, label=track.name)
        axes.annotate(
            track.name, _last_below(track, top_m), (5, 0), textcoords="offset points",
            color=colour, va="center", weight="bold",
        )  # fmt: skip
    for metres_, name in ((NOTICE_M, "notice"), (NEAR_M, "warning")):
        axes.axhline(metres_, color="#555555", lw=1, ls=(0, (2, 3)))
        axes.annotate(
            f"{name} within {metres_:g} m", (1, metres_), (0, 3), textcoords="offset points",
            xycoords=("axes fraction", "data"), color="#333333", ha="right",
        )  # fmt: skip
    for said in walk.alerts:
        if said.started_s is not None:
            axes.plot(said.started_s, 0, "^", color=COLOURS[0], ms=10, clip_on=False)
    axes.set(
        title=f"Distance of what came nearest, up to {top_m:.0f} m (triangles: an alert was heard)",
        xlabel="time since the start, s",
        ylabel="distance, m",
    )
    axes.set_xlim(0, max(1.0, walk.length_s))
    axes.set_ylim(0, top_m)
    return _svg(figure, "distances")


def latencies(walk: Walk) -> str:
    """Median and 95th percentile of every stage, and the budgets."""
    rows = walk.sums.stages[::-1]  # the first on top
    figure, axes = _figure(1.2 + 0.34 * len(rows))
    for place, stage in enumerate(rows):
        axes.barh(place, stage.p95, height=0.7, color="#9CC7E4")
        axes.barh(place, stage.p50, height=0.7, color=COLOURS[0])
        axes.annotate(
            f"{short(stage.p50)} / {short(stage.p95)}", (stage.p95, place), (4, 0),
            textcoords="offset points", va="center",
        )  # fmt: skip
        budget_ms = budget(stage)
        if budget_ms is not None:
            axes.plot([budget_ms] * 2, [place - 0.45, place + 0.45], color=COLOURS[1], lw=3)
    axes.set_yticks(range(len(rows)), [f"{stage.tier}: {stage.name}" for stage in rows])
    axes.set(title="Latency by stage: p50 / p95", xlabel="milliseconds")
    axes.margins(x=0.12)
    handles = [
        Patch(color=COLOURS[0], label="p50"),
        Patch(color="#9CC7E4", label="p95"),
        _key("|", COLOURS[1], "budget"),
    ]
    axes.legend(handles=handles, loc="best")
    return _svg(figure, "latencies")


def _last_below(track: Track, top_m: float) -> tuple[float, float]:
    """Where a line's name stands: at its end, or where it last was inside the chart."""
    inside = [(s.time_s, s.distance_m) for s in track.sightings if s.distance_m <= top_m]
    return inside[-1] if inside else (track.sightings[-1].time_s, 0.97 * top_m)


def _key(marker: str, colour: str, name: str) -> Line2D:
    return Line2D([], [], marker=marker, color=colour, ls="", ms=9, mew=2, label=name)


def _figure(height_in: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(10, height_in), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#dddddd", lw=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def _svg(figure: Figure, name: str) -> str:
    """The <svg> element alone, its size left to the page, its ids its own within the page."""
    file = io.StringIO()
    # text stays text: small, sharp at any zoom, and in the reader's own font
    options = {"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 12}
    with matplotlib.rc_context(options):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=nothing)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(
        r'<svg [^>]*viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" aria-hidden="true">', text
    )
    return re.sub(r'( id="|url\(#|xlink:href="#)', rf"\g<1>{name}-", text)
