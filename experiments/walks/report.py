"""One self-contained HTML page of a walk, for a helper to look at or listen to.

`python -m experiments.walks.report SESSION` reads a session's folder and writes `report.html` into it:
what was heard and when (with pictures only if the session kept them), distances, latencies against
their budgets, what was dropped and why. The page fetches nothing. Every chart is also in words and in
a table, since helpers may have low vision too.
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
from engine.devices.view.rerun_view import FILE, pictures_at
from engine.recording.session_log import spread
from experiments.common import command_parser
from experiments.walks import report_charts as walk_charts
from experiments.walks.report_data import Said, Stage, Track, Walk, read_walk

THUMBNAIL_PX = 224
WHY = {
    "stale": "too late to be of use when its turn came",
    "superseded": "something newer or more urgent took its place",
    "cancelled": "silenced by the wearer, or the session ended first",
}
Row = Sequence[object]


def thumbnail(jpeg: bytes, said: Said) -> Markup:
    """A small picture as an <img> that holds its own data."""
    file = io.BytesIO()
    with Pillow.open(io.BytesIO(jpeg)) as picture:
        picture.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        picture.save(file, "JPEG", quality=70)
        width, height = picture.size
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return Markup('<img src="data:image/jpeg;base64,{}" width="{}" height="{}" alt="{}">').format(
        data, width, height, f"What the camera saw when this was queued, {said.queued_s:.1f} s"
    )


def pictures(walk: Walk) -> tuple[dict[int, Markup], str]:
    """Thumbnails of the alerts by their place in `walk.said`, and a sentence about them."""
    path = walk.folder / FILE
    if not path.is_file():
        return {}, "No pictures were kept: the session ran without view=rerun."
    places = [place for place, said in enumerate(walk.said) if said.kind == "alert"]
    try:
        found = pictures_at(path, [walk.said[place].queued_s for place in places])
    except EngineError as error:
        return {}, f"Pictures were kept but cannot be shown. {error}"
    shown = {
        place: thumbnail(jpeg, walk.said[place])
        for place, jpeg in zip(places, found, strict=True)
        if jpeg is not None
    }
    return shown, f"Pictures of {len(shown)} of {len(places)} alerts, from {FILE}."


def direction(said: Said) -> str:
    """An alert's direction in words; other sounds come from the middle."""
    if said.kind != "alert":
        return ""
    if abs(said.azimuth_deg) < 1:
        return "ahead"
    return f"{abs(said.azimuth_deg):.0f}° {'left' if said.azimuth_deg < 0 else 'right'}"


def number(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def said_rows(walk: Walk, shown: dict[int, Markup]) -> list[Row]:
    return [
        (
            number(said.at_s, 2),
            said.kind,
            direction(said),
            said.text or "(sound only)",
            number(said.waited_ms, 0),
            "heard" if said.started_s is not None else f"not heard: {said.dropped}",
            *([shown.get(place, "")] if shown else []),
        )
        for place, said in enumerate(walk.said)
    ]


def track_row(track: Track) -> Row:
    near = track.nearest
    return (
        track.name,
        number(track.sightings[0].time_s),
        number(track.sightings[-1].time_s),
        number(near.distance_m),
        number(near.sigma_m),
        number(near.time_s),
        near.side,
        number(track.least_ttc_s),
    )


def stage_rows(walk: Walk) -> list[Row]:
    waits = [said.waited_ms for said in walk.alerts if said.waited_ms is not None]
    stages = list(walk.sums.stages)
    if waits:
        stats = spread(waits)
        name = "queued to first sound"
        stages.append(Stage("alerts", name, len(waits), stats["p50"], stats["p95"], stats["max"]))
    rows: list[Row] = []
    for stage in stages:
        budget = walk_charts.budget(stage)
        figures = (number(value) for value in (stage.p50, stage.p95, stage.most))
        name = f"{stage.tier}: {stage.name}"
        if budget is None:
            rows.append((name, stage.n, *figures, "", ""))
        else:
            missed = Markup('<span class="bad">missed</span>')
            verdict = "met" if stage.p95 <= budget else missed
            rows.append((name, stage.n, *figures, number(budget, 0), verdict))
    return rows


def opening(walk: Walk) -> str:
    """The walk in a few sentences."""
    heard = [said for said in walk.alerts if said.started_s is not None]
    silent = len(walk.alerts) - len(heard)
    sums = walk.sums
    return (
        f"{walk.length_s:.0f} seconds; {sums.frames_processed} of {sums.frames_seen} frames looked "
        f"at, {sums.fps:g} a second. {len(walk.tracks)} things tracked, "
        f"{len(heard)} alerts heard, {silent} raised but not heard. {len(walk.answers)} answers. "
        f"{len(walk.troubles)} health records."
    )


def timeline_words(walk: Walk) -> str:
    heard = sum(said.started_s is not None for said in walk.said)
    first = next((said for said in walk.alerts if said.started_s is not None), None)
    start = f" The first alert, “{first.text}”, sounded at {first.at_s:.1f} s." if first else ""
    return (
        f"{heard} of {len(walk.said)} utterances were heard in {walk.length_s:.0f} s, by kind and "
        f"direction from top to bottom.{start}"
    )


def distances_words(walk: Walk) -> str:
    drawn = walk_charts.followed(walk)
    parts = [
        f"{t.name} from {t.sightings[0].distance_m:.1f} m to {t.sightings[-1].distance_m:.1f} m, "
        f"nearest {t.nearest.distance_m:.1f} m at {t.nearest.time_s:.1f} s"
        for t in drawn
    ]
    left_out = len(walk.tracks) - len(drawn)
    rest = f". {left_out} more are in the table only" if left_out else ""
    return f"{'; '.join(parts)}{rest}."


def latencies_words(walk: Walk) -> str:
    """The totals against their budgets; of a tier without one, every stage."""
    stages = walk.sums.stages
    whole = {stage.tier for stage in stages if stage.name == "end_to_end"}
    parts = []
    for stage in stages:
        budget = walk_charts.budget(stage)
        if budget is not None:
            p50, p95 = walk_charts.short(stage.p50), walk_charts.short(stage.p95)
            parts.append(
                f"{stage.tier}: {p50} ms at the median and {p95} ms at the 95th percentile from "
                f"asking to the first sound, budget {budget:.0f} ms"
            )
        elif stage.tier not in whole:
            parts.append(
                f"{stage.tier}, {stage.name}: {walk_charts.short(stage.p50)} ms at the median"
            )
    return "; ".join(parts) + "."


def frames_words(walk: Walk) -> str:
    seen, dropped = walk.sums.frames_seen, walk.sums.frames_dropped
    if not dropped:
        return f"All {seen} frames were looked at."
    return (
        f"{dropped} of {seen} frames ({100 * dropped / seen:.0f} %) were passed over because a newer "
        "one had come before the one in hand was done."
    )


def page(walk: Walk) -> str:
    """The whole report as HTML."""
    shown, note = pictures(walk)
    columns = ["at, s", "kind", "direction", "words", "waited, ms", "fate"]
    drawn = walk_charts.followed(walk)
    stages = stage_rows(walk)
    fields: dict[str, Any] = {
        "name": walk.folder.resolve().name,
        "opening": opening(walk),
        "said": said_rows(walk, shown),
        "said_columns": [*columns, "picture"] if shown else columns,
        "pictures_note": note,
        "timeline": Markup(walk_charts.timeline(walk)) if walk.said else "",
        "timeline_words": timeline_words(walk),
        "tracks": [track_row(t) for t in sorted(walk.tracks, key=lambda t: t.nearest.distance_m)],
        "distances": Markup(walk_charts.distances(walk)) if drawn else "",
        "distances_words": distances_words(walk),
        "stages": stages,
        "latencies": Markup(walk_charts.latencies(walk)) if stages else "",
        "latencies_words": latencies_words(walk),
        "frames_words": frames_words(walk),
        "dropped": [
            (number(s.queued_s, 2), s.kind, s.text or "(sound only)", why(s))
            for s in walk.said
            if s.started_s is None
        ],
        "troubles": [(number(t.time_s, 2), t.what, t.detail, t.action) for t in walk.troubles],
        "answers": [
            (
                number(a.time_s, 2),
                a.tier,
                f"score {a.score:.2f}, threshold {a.threshold:.2f}: {'; '.join(a.reasons)}",
                a.text,
                number(a.end_to_end_ms, 0),
            )
            for a in walk.answers
        ],
        "models": walk.meta.models,
        "facts": (*walk.meta.facts, *walk.sums.facts),
    }
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    return templates.get_template("report.html.j2").render(fields)


def why(said: Said) -> str:
    return (
        f"{said.dropped}: {WHY.get(said.dropped or '', 'for a reason this version does not know')}"
    )


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.walks.report", __doc__)
    parser.add_argument("session", type=Path, help="a session's folder (hydra.run.dir)")
    parser.add_argument("--out", type=Path, help="where the page goes (SESSION/report.html)")
    args = parser.parse_args(arguments)
    out = args.out or args.session / "report.html"
    try:
        html = page(read_walk(args.session))
        try:
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
