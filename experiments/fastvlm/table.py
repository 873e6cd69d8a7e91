"""FastVLM's latency rows as Markdown: the original analysis' options, then all rows."""

from collections.abc import Sequence

from experiments.fastvlm.recipes import BASELINE, CACHED, COMPILED, ENCODED_ONCE
from experiments.fastvlm.rows import LatencyRow

# The original analysis (1 December 2025) at 1024 px on an RTX 2060, milliseconds in the model;
# values marked `estimated` were not measured.
OPTIONS: tuple[tuple[str, str, str, int], ...] = (
    ("PyTorch, 16 tokens", "368", CACHED, 16),
    ("PyTorch, 8 tokens", "259", CACHED, 8),
    ("no cache", "372, with torch.compile", BASELINE, 16),
    ("no cache, the picture encoded once", "", ENCODED_ONCE, 16),
    ("torch.compile", "372, without cache", COMPILED, 16),
    ("ONNX encoder, torch decoder", "368 estimated", "hybrid", 16),
    ("full ONNX", "not run", "onnx", 16),
    ("TensorRT", "180 to 200 estimated", "tensorrt", 16),
    ("INT4", "80 to 120 saved, estimated", "int4", 16),
    ("FastViT with templates", "110 estimated", "quick", 16),
)
COLUMNS = (
    "recipe", "px", "tokens", "encoder", "prefill", "a token", "first token", "total", "floor",
    "of floor", "memory, MiB", "start, s", "warm-up, s", "runs",
)  # fmt: skip


def nearest(values: Sequence[int], wanted: int) -> int:
    """`wanted` if it is among the values, else the largest."""
    return wanted if wanted in values else max(values)


def rows_at(rows: Sequence[LatencyRow], side: int, count: int) -> list[LatencyRow]:
    return [row for row in rows if (row.side_px, row.tokens) == (side, count)]


def find(rows: Sequence[LatencyRow], recipe: str) -> LatencyRow | None:
    """The row of a recipe, or the fastest row of a backend or of one of our precisions; else the
    first row that gives the reason for its absence.
    """
    fits = [row for row in rows if recipe in (row.recipe, row.backend)] or [
        row for row in rows if row.precisions[1] == recipe
    ]
    here = [row for row in fits if row.times is not None]
    if here:
        return min(here, key=LatencyRow.p50)
    return fits[0] if fits else None


def options(rows: Sequence[LatencyRow], side: int, count: int) -> list[str]:
    """The original analysis' options at one size, at `count` tokens if 16 were not measured."""
    lines = _head(
        "option",
        "original analysis, ms",
        "recipe here",
        "tokens",
        "total, ms (p50 / p95)",
        "floor, ms",
    )
    lengths = {row.tokens for row in rows}
    for option, original, recipe, tokens in OPTIONS:
        length = tokens if tokens in lengths else count
        row = find(rows_at(rows, side, length), recipe)
        if row is None:
            lines.append(_line(option, original, recipe, str(length), "not asked for", ""))
            continue
        got = pair(row.times.total) if row.times else "not here, see below"
        more = f"{row.recipe}{f' ({row.note})' if row.note else ''}"
        lines.append(_line(option, original, more, str(length), got, _floor(row)))
    return lines


def everything(rows: Sequence[LatencyRow]) -> list[str]:
    lines = _head(*COLUMNS)
    for row in rows:
        if row.times is None:
            continue
        times = row.times
        share = "" if row.floor is None else f"{row.p50() / row.floor.total_ms:.1f}×"
        lines.append(
            _line(
                row.recipe, str(row.side_px), str(row.tokens), pair(times.encoder),
                pair(times.prefill), pair(times.token), pair(times.first), pair(times.total),
                _floor(row), share, memory(row), f"{row.start_s:.1f}", f"{row.warm_s:.1f}",
                str(row.runs),
            )
        )  # fmt: skip
    return lines


def absent(rows: Sequence[LatencyRow]) -> list[str]:
    """Each recipe without figures, once for each reason, with what would provide it."""
    reasons = {(row.recipe, row.why): row for row in rows if row.why}
    if not reasons:
        return ["Nothing."]
    return [*_head("recipe", "why"), *[_line(recipe, why) for recipe, why in reasons]]


def markdown(
    rows: Sequence[LatencyRow], side: int, count: int, title: str, remarks: Sequence[str]
) -> str:
    """The whole document."""
    notes = sorted({f"- {row.recipe}: {row.note}." for row in rows if row.note})
    return "\n".join(
        [
            f"# {title}", "", *[f"{remark}\n" for remark in remarks],
            f"## The options of the original analysis, {side} px", "", *options(rows, side, count), "",
            "## Everything", "",
            "Milliseconds, p50 / p95. The floor is bytes over measured bandwidth or operations over "
            "measured rate, whichever is more. Start is loading, and compiling or capturing the encoder.",
            "", *everything(rows), "", *notes, "",
            "## Not here", "", *absent(rows), "",
        ]
    )  # fmt: skip


def pair(times: tuple[float, float]) -> str:
    return f"{_short(times[0])} / {_short(times[1])}"


def memory(row: LatencyRow) -> str:
    return ", ".join(f"{name} {value:.0f}" for name, value in row.memory_mb.items())


def _floor(row: LatencyRow) -> str:
    return "" if row.floor is None else _short(row.floor.total_ms)


def _short(value_ms: float) -> str:
    return f"{value_ms:.0f}" if value_ms >= 100 else f"{value_ms:.2f}"


def _head(*names: str) -> list[str]:
    return [_line(*names), _line(*["---"] * len(names))]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
