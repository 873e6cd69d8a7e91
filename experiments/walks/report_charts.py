"""The three charts of a walk report, drawn by matplotlib and returned as SVG for the page.

Colours are Okabe and Ito's (2008), which colour-blind readers can tell apart; lines also differ by
dash.
"""

import io
import re

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from engine.alerts.level import NEAR_M, NOTICE_M
from engine.core.budgets import ANSWER_MS
from experiments.walks.report_data import LoggedSession, LoggedUtterance, StageLatency, TrackHistory

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#000000", "#E69F00", "#7F7F7F")
BLUE, ORANGE, GREEN, BLACK = COLOURS[0], COLOURS[1], COLOURS[2], COLOURS[5]
PALE_BLUE = "#9CC7E4"
DASHES = ("-", "--", "-.", ":")
# Farther distances are cut off, so that near ones can be read.
MAX_M = 12.0
# More lines than this would be unreadable.
MAX_TRACKS = 8
# An alert at a larger angle than this is drawn in the left or right lane.
SIDE_DEG = 12.0
LANES = ("health", "status", "answer", "alert right", "alert ahead", "alert left")
# A shorter bar would not be visible.
MIN_BAR_S = 0.15
# Text stays text, in the page's own font; a fixed salt makes the ids the same in every run.
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "walk report", "font.size": 12}


def lane(utterance: LoggedUtterance) -> str:
    """The row of the timeline that an utterance belongs to."""
    if utterance.kind != "alert":
        return utterance.kind
    if abs(utterance.azimuth_deg) <= SIDE_DEG:
        return "alert ahead"
    return "alert left" if utterance.azimuth_deg < 0 else "alert right"


def budget_ms(stage: StageLatency) -> float | None:
    """The latency budget of a stage; None if it has none."""
    return ANSWER_MS.get(stage.tier) if stage.name == "end_to_end" else None


def short(value_ms: float) -> str:
    """Milliseconds: whole from 10 on, else with one decimal."""
    return f"{value_ms:.0f}" if value_ms >= 10 else f"{value_ms:.1f}"


def drawn_tracks(session: LoggedSession) -> list[TrackHistory]:
    """The nearest tracks that were seen more than once, at most MAX_TRACKS, by number."""
    repeated = [track for track in session.tracks if len(track.points) > 1]
    nearest = sorted(repeated, key=lambda track: track.nearest.distance_m)[:MAX_TRACKS]
    return sorted(nearest, key=lambda track: track.number)


def charts(session: LoggedSession) -> dict[str, str]:
    """Every chart by name; an empty string if there is nothing to draw."""
    with matplotlib.rc_context(STYLE):
        return {
            "timeline": timeline(session) if session.utterances else "",
            "distances": distances(session) if drawn_tracks(session) else "",
            "latencies": latencies(session) if session.summary.stages else "",
        }


def timeline(session: LoggedSession) -> str:
    """What was heard when, by kind and direction; crosses mark utterances that were dropped."""
    figure, axes = _axes(3.4, "What was heard, and when", "time since the start, s")
    for utterance in session.utterances:
        row = LANES.index(lane(utterance))
        if utterance.started_s is None:
            axes.plot(utterance.queued_s, row, "x", color=ORANGE, ms=9, mew=2)
            continue
        length_s = (utterance.ended_s or utterance.started_s) - utterance.started_s
        colour = BLUE if utterance.kind == "alert" else GREEN
        width_s = max(MIN_BAR_S, length_s)
        axes.barh(row, width_s, left=utterance.started_s, height=0.6, color=colour)
    for record in session.health:
        axes.plot(record.time_s, 0, "D", color=BLACK, ms=7)
    axes.set_yticks(range(len(LANES)), LANES)
    axes.set(ylim=(-0.6, len(LANES) - 0.4), xlim=(0, max(1.0, session.length_s)))
    handles = [
        Patch(color=BLUE, label="alert heard"),
        Patch(color=GREEN, label="answer or status heard"),
        _marker("x", ORANGE, "not heard"),
        _marker("D", BLACK, "health record"),
    ]
    axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=4)
    return _svg(figure, "timeline")


def distances(session: LoggedSession) -> str:
    """The distance of each drawn track over time; triangles mark alerts that were heard."""
    tracks = drawn_tracks(session)
    farthest_m = max(point.distance_m for track in tracks for point in track.points)
    top_m = min(MAX_M, 1.1 * max(NOTICE_M, farthest_m))
    title = f"Distance of what came nearest, up to {top_m:.0f} m (triangles: an alert was heard)"
    figure, axes = _axes(4.6, title, "time since the start, s")
    for place, track in enumerate(tracks):
        axes.plot(
            [point.time_s for point in track.points],
            [point.distance_m for point in track.points],
            DASHES[place % len(DASHES)],
            color=COLOURS[place % len(COLOURS)],
            lw=2.2,
            label=track.name,
        )
    for limit_m, name in ((NOTICE_M, "notice"), (NEAR_M, "warning")):
        axes.axhline(limit_m, color="#555555", lw=1, ls=(0, (2, 3)))
        axes.annotate(
            f"{name} within {limit_m:g} m", (0, limit_m), (4, 3), textcoords="offset points",
            xycoords=("axes fraction", "data"), color="#333333",
        )  # fmt: skip
    heard_s = [alert.started_s for alert in session.alerts if alert.started_s is not None]
    axes.plot(heard_s, [0] * len(heard_s), "^", color=BLUE, ms=10, clip_on=False)
    axes.set(ylabel="distance, m", xlim=(0, max(1.0, session.length_s)), ylim=(0, top_m))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return _svg(figure, "distances")


def latencies(session: LoggedSession) -> str:
    """Median and 95th percentile of every stage, and the budgets."""
    stages = session.summary.stages[::-1]  # bars are drawn from the bottom
    figure, axes = _axes(1.2 + 0.34 * len(stages), "Latency by stage: p50 / p95", "milliseconds")
    for row, stage in enumerate(stages):
        bars = axes.barh(row, stage.p95_ms, height=0.7, color=PALE_BLUE)
        axes.bar_label(bars, [f"{short(stage.p50_ms)} / {short(stage.p95_ms)}"], padding=4)
        axes.barh(row, stage.p50_ms, height=0.7, color=BLUE)
        limit_ms = budget_ms(stage)
        if limit_ms is not None:
            axes.plot([limit_ms] * 2, [row - 0.45, row + 0.45], color=ORANGE, lw=3)
    axes.set_yticks(range(len(stages)), [f"{stage.tier}: {stage.name}" for stage in stages])
    axes.margins(x=0.12)
    handles = [Patch(color=BLUE, label="p50"), Patch(color=PALE_BLUE, label="p95")]
    axes.legend(handles=[*handles, _marker("|", ORANGE, "budget")], loc="best")
    return _svg(figure, "latencies")


def _axes(height_in: float, title: str, xlabel: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(10, height_in), layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#dddddd", lw=0.8)
    axes.set_axisbelow(True)
    axes.set(title=title, xlabel=xlabel)
    return figure, axes


def _marker(marker: str, colour: str, name: str) -> Line2D:
    return Line2D([], [], marker=marker, color=colour, ls="", ms=9, mew=2, label=name)


def _svg(figure: Figure, name: str) -> str:
    """The figure's <svg> element, hidden from screen readers, which get the page's words and table.

    The page sets its size. Its ids begin with `name`, since ids must be unique within the page.
    """
    file = io.StringIO()
    no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(file, format="svg", metadata=no_metadata)
    svg = file.getvalue()
    body = re.sub(r'.*?<svg [^>]*(viewBox="[^"]*")[^>]*>', r'<svg \1 aria-hidden="true">', svg,
                  count=1, flags=re.DOTALL)  # fmt: skip
    return re.sub(r'( id="|url\(#|xlink:href="#)', rf"\g<1>{name}-", body)
