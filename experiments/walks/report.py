"""Writes one self-contained HTML page about a walk, for a sighted or low-vision helper.

`python -m experiments.walks.report SESSION` reads a session's folder and writes `report.html` into
it: what was heard and when (with images only if the session kept them), distances, latencies
against their budgets, and what was dropped and why. The page fetches nothing. Each chart is
repeated in words and in a table, so that a screen reader misses nothing.
"""

import base64
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image as Pillow

from engine.core.errors import EngineError, InputError
from engine.devices.view.rerun_view import FILE, images_at
from engine.recording.latency import spread
from experiments.common import command_parser
from experiments.walks.report_charts import budget_ms, charts, drawn_tracks, short
from experiments.walks.report_data import (
    LoggedSession,
    LoggedUtterance,
    StageLatency,
    TrackHistory,
    read_session,
)

THUMBNAIL_PX = 224
DROP_REASONS = {
    "stale": "too late to be of use when its turn came",
    "superseded": "something newer or more urgent took its place",
    "cancelled": "silenced by the wearer, or the session ended first",
}
Row = Sequence[object]


def thumbnail(jpeg: bytes, utterance: LoggedUtterance) -> Markup:
    """A small image as an <img> element that contains its data."""
    file = io.BytesIO()
    with Pillow.open(io.BytesIO(jpeg)) as picture:
        picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        picture.save(file, "JPEG", quality=70)
        width, height = picture.size
    data = base64.b64encode(file.getvalue()).decode("ascii")
    alt = f"What the camera saw when this was queued, {utterance.queued_s:.1f} s"
    return Markup('<img src="data:image/jpeg;base64,{}" width="{}" height="{}" alt="{}">').format(
        data, width, height, alt
    )


def pictures(session: LoggedSession) -> tuple[dict[int, Markup], str]:
    """Thumbnails of the alerts by their place in `session.utterances`, and a sentence about them."""
    path = session.folder / FILE
    if not path.is_file():
        return {}, "No pictures were kept: the session ran without view=rerun."
    places = [i for i, utterance in enumerate(session.utterances) if utterance.kind == "alert"]
    try:
        found = images_at(path, [session.utterances[place].queued_s for place in places])
    except EngineError as error:
        return {}, f"Pictures were kept but cannot be shown. {error}"
    shown = {
        place: thumbnail(jpeg, session.utterances[place])
        for place, jpeg in zip(places, found, strict=True)
        if jpeg is not None
    }
    return shown, f"Pictures of {len(shown)} of {len(places)} alerts, from {FILE}."


def direction(utterance: LoggedUtterance) -> str:
    """An alert's direction in words; other sounds have none."""
    if utterance.kind != "alert":
        return ""
    if abs(utterance.azimuth_deg) < 1:
        return "ahead"
    return f"{abs(utterance.azimuth_deg):.0f}° {'left' if utterance.azimuth_deg < 0 else 'right'}"


def number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def utterance_rows(session: LoggedSession, shown: dict[int, Markup]) -> list[Row]:
    return [
        (
            number(item.at_s, 2),
            item.kind,
            direction(item),
            item.text or "(sound only)",
            number(item.waited_ms, 0),
            "heard" if item.started_s is not None else f"not heard: {item.dropped}",
            *([shown.get(place, "")] if shown else []),
        )
        for place, item in enumerate(session.utterances)
    ]


def track_row(track: TrackHistory) -> Row:
    near = track.nearest
    return (
        track.name,
        number(track.points[0].time_s),
        number(track.points[-1].time_s),
        number(near.distance_m),
        number(near.sigma_m),
        number(near.time_s),
        near.side,
        number(track.least_ttc_s),
    )


def stage_rows(session: LoggedSession) -> list[Row]:
    waits = [item.waited_ms for item in session.alerts if item.waited_ms is not None]
    stages = list(session.summary.stages)
    if waits:
        stats = spread(waits)
        name = "queued to first sound"
        stages.append(
            StageLatency("alerts", name, len(waits), stats["p50"], stats["p95"], stats["max"])
        )
    rows: list[Row] = []
    for stage in stages:
        budget = budget_ms(stage)
        figures = (number(value) for value in (stage.p50_ms, stage.p95_ms, stage.max_ms))
        name = f"{stage.tier}: {stage.name}"
        if budget is None:
            rows.append((name, stage.n, *figures, "", ""))
        else:
            missed = Markup('<span class="bad">missed</span>')
            verdict = "met" if stage.p95_ms <= budget else missed
            rows.append((name, stage.n, *figures, number(budget, 0), verdict))
    return rows


def opening(session: LoggedSession) -> str:
    """The first sentences of the page."""
    heard = [item for item in session.alerts if item.started_s is not None]
    silent = len(session.alerts) - len(heard)
    summary = session.summary
    return (
        f"{session.length_s:.0f} seconds; {summary.frames_processed} of {summary.frames_seen} frames "
        f"looked at, {summary.fps:g} a second. {len(session.tracks)} things tracked, "
        f"{len(heard)} alerts heard, {silent} raised but not heard. {len(session.answers)} answers. "
        f"{len(session.health)} health records."
    )


def timeline_words(session: LoggedSession) -> str:
    heard = sum(item.started_s is not None for item in session.utterances)
    first = next((item for item in session.alerts if item.started_s is not None), None)
    start = f" The first alert, “{first.text}”, sounded at {first.at_s:.1f} s." if first else ""
    return (
        f"{heard} of {len(session.utterances)} utterances were heard in {session.length_s:.0f} s, "
        f"by kind and direction from top to bottom.{start}"
    )


def distances_words(session: LoggedSession) -> str:
    drawn = drawn_tracks(session)
    parts = [
        f"{t.name} from {t.points[0].distance_m:.1f} m to {t.points[-1].distance_m:.1f} m, "
        f"nearest {t.nearest.distance_m:.1f} m at {t.nearest.time_s:.1f} s"
        for t in drawn
    ]
    left_out = len(session.tracks) - len(drawn)
    rest = f". {left_out} more are in the table only" if left_out else ""
    return f"{'; '.join(parts)}{rest}."


def latencies_words(session: LoggedSession) -> str:
    """The end-to-end latency of each tier against its budget, or every stage of a tier without one."""
    stages = session.summary.stages
    whole = {stage.tier for stage in stages if stage.name == "end_to_end"}
    parts = []
    for stage in stages:
        budget = budget_ms(stage)
        if budget is not None:
            p50, p95 = short(stage.p50_ms), short(stage.p95_ms)
            parts.append(
                f"{stage.tier}: {p50} ms at the median and {p95} ms at the 95th percentile from "
                f"asking to the first sound, budget {budget:.0f} ms"
            )
        elif stage.tier not in whole:
            parts.append(f"{stage.tier}, {stage.name}: {short(stage.p50_ms)} ms at the median")
    return "; ".join(parts) + "."


def frames_words(session: LoggedSession) -> str:
    seen, dropped = session.summary.frames_seen, session.summary.frames_dropped
    if not dropped:
        return f"All {seen} frames were looked at."
    return (
        f"{dropped} of {seen} frames ({100 * dropped / seen:.0f} %) were skipped because a newer "
        "frame arrived before the last one was processed."
    )


def page(session: LoggedSession) -> str:
    """The whole report as HTML."""
    shown, note = pictures(session)
    columns = ["at, s", "kind", "direction", "words", "waited, ms", "outcome"]
    fields: dict[str, Any] = {
        "name": session.folder.resolve().name,
        "opening": opening(session),
        "said": utterance_rows(session, shown),
        "said_columns": [*columns, "picture"] if shown else columns,
        "pictures_note": note,
        **{name: Markup(svg) for name, svg in charts(session).items()},
        "timeline_words": timeline_words(session),
        "tracks": [
            track_row(t) for t in sorted(session.tracks, key=lambda t: t.nearest.distance_m)
        ],
        "distances_words": distances_words(session),
        "stages": stage_rows(session),
        "latencies_words": latencies_words(session),
        "frames_words": frames_words(session),
        "dropped": [
            (number(s.queued_s, 2), s.kind, s.text or "(sound only)", drop_reason(s))
            for s in session.utterances
            if s.started_s is None
        ],
        "troubles": [(number(t.time_s, 2), t.what, t.detail, t.action) for t in session.health],
        "answers": [
            (
                number(a.time_s, 2),
                a.tier,
                f"score {a.score:.2f}, threshold {a.threshold:.2f}: {'; '.join(a.reasons)}",
                a.text,
                number(a.end_to_end_ms, 0),
            )
            for a in session.answers
        ],
        "models": session.session.models,
        "facts": (*session.session.facts, *session.summary.facts),
    }
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    return templates.get_template("report.html.j2").render(fields)


def drop_reason(utterance: LoggedUtterance) -> str:
    reason = DROP_REASONS.get(utterance.dropped or "", "for a reason this version does not know")
    return f"{utterance.dropped}: {reason}"


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.walks.report", __doc__)
    parser.add_argument("session", type=Path, help="a session's folder (hydra.run.dir)")
    parser.add_argument("--out", type=Path, help="where the page goes (SESSION/report.html)")
    args = parser.parse_args(arguments)
    out = args.out or args.session / "report.html"
    try:
        html = page(read_session(args.session))
        try:
            out.touch(mode=0o600)  # for its owner alone, as the session is
            out.write_text(html, encoding="utf-8")
        except OSError as error:
            raise InputError(
                f"--out: expected a file that can be written, got {out} ({error.strerror})"
            ) from error
    except EngineError as error:
        print(f"experiments.walks.report: {error}", file=sys.stderr)
        return 2
    print(f"written: {out} ({len(html.encode()) / 1024:.0f} KiB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
