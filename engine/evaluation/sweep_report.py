"""Reports a sweep in plots and words: cost against quality, Pareto front, best under each budget.

Knows rows of figures (engine.evaluation.sweep) and nothing of Hydra or the engine.
"""

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from engine.core.budgets import ANSWER_MS

Row = dict[str, Any]
# The first of these that the sweep measured counts as quality.
MEASURES = ("answer_quality", "caption_cider", "object_recall")
COST = "p95_ms"
TIER_COLOURS = {"quick": "tab:green", "full": "tab:blue"}


def write_report(rows: list[Row], folder: Path) -> list[str]:
    """Write the plots and README.md of a sweep; return their names."""
    succeeded = [row for row in rows if row["status"] == "ok"]
    measure = next((name for name in MEASURES if any(name in row for row in succeeded)), None)
    key = swept_key(rows)
    plot_shares(rows, folder / "sweep.png")
    written = ["sweep.png"]
    if measure is not None:
        plot_pareto(succeeded, measure, key, folder / "pareto.png")
        written.append("pareto.png")
    text = readme(rows, succeeded, measure, key)
    (folder / "README.md").write_text(text, encoding="utf-8")
    return [*written, "README.md"]


def pareto(rows: list[Row], measure: str) -> list[Row]:
    """The rows that no other row beats in both quality and p95, cheapest first."""
    ranked = sorted(
        (row for row in rows if row.get(measure) is not None and row.get(COST) is not None),
        key=lambda row: (row[COST], -row[measure]),
    )
    front: list[Row] = []
    for row in ranked:
        if not front or row[measure] > front[-1][measure]:
            front.append(row)
    return front


def best_under(rows: list[Row], measure: str, budget_ms: float) -> Row | None:
    """The row with the best quality among those with a p95 within the budget; of equals, the
    cheapest."""
    within = [row for row in pareto(rows, measure) if row[COST] <= budget_ms]
    return within[-1] if within else None


def readme(rows: list[Row], succeeded: list[Row], measure: str | None, key: str | None) -> str:
    """The README.md of a sweep."""
    failed = [row for row in rows if row["status"] != "ok"]
    lines = [
        "# Sweep",
        "",
        f"{len(rows)} jobs, {len(failed)} failed. All figures: `sweep.csv`.",
        "",
    ]
    for tier, budget_ms in ANSWER_MS.items():
        lines.append(f"- {_verdict(succeeded, measure, key, tier, budget_ms)}")
    lines += [
        "",
        "Latency is from the request to the first sound, over all answers. With `answer.beats=2` an",
        "escalated answer begins with the template, so in a replay escalation costs nothing. Over a",
        "dataset, the whole answer is composed before it is spoken, so escalation costs the describer's",
        "whole time. `answer.beats=1` shows the latency of the describer's words alone.",
    ]
    if measure is not None:
        lines += ["", f"Pareto front of `{measure}` and p95 (`pareto.png`):", ""]
        lines += [
            f"- {_figures(row, measure)}: {name_of(row)}" for row in pareto(succeeded, measure)
        ]
    lines += [f"- failed: {name_of(row)}" for row in failed]
    return "\n".join([*lines, ""])


def _verdict(
    succeeded: list[Row], measure: str | None, key: str | None, tier: str, budget_ms: float
) -> str:
    budget = f"the {tier} budget of {budget_ms:.0f} ms"
    if measure is None:
        return (
            f"Best under {budget}: unknown; the source has no labels, so no quality was measured."
        )
    best = best_under(succeeded, measure, budget_ms)
    if best is None:
        return f"Best under {budget}: none; no job's p95 is within it."
    named = f"{key}={best[key]} ({name_of(best)})" if key in best else name_of(best)
    return f"Best under {budget}: **{named}**, {_figures(best, measure)}."


def _figures(row: Row, measure: str) -> str:
    share = "–" if row["escalation_rate"] is None else f"{row['escalation_rate']:.0%}"
    return f"{measure} {row[measure]:.3f}, p95 {row[COST]:.0f} ms, {share} escalated"


def name_of(row: Row) -> str:
    """A job's number and overrides."""
    return f"job {row['job']}: " + ", ".join(f"{k}={row[k]}" for k in _override_names([row]))


def swept_key(rows: list[Row]) -> str | None:
    """The numeric override that differs between jobs; the router's threshold is preferred."""
    swept = [
        key
        for key in _override_names(rows)
        if len({row.get(key) for row in rows}) > 1
        and all(_number(row.get(key)) is not None for row in rows)
    ]
    return "router.threshold" if "router.threshold" in swept else next(iter(swept), None)


def groups_of(rows: list[Row], key: str | None) -> dict[str, list[Row]]:
    """Group rows by the varying overrides other than `key`; sort each group by `key`."""
    others = [
        name
        for name in _override_names(rows)
        if name != key and len({row.get(name) for row in rows}) > 1
    ]
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(", ".join(str(row.get(name)) for name in others), []).append(row)
    if key:
        for group in found.values():
            group.sort(key=lambda row: _number(row.get(key)) or 0.0)
    return found


def plot_shares(rows: list[Row], path: Path) -> None:
    """Plot the share escalated and the latency to the first sound over the swept key (or the job's
    number), with one line for each combination of the other settings."""
    key = swept_key(rows)
    succeeded = [row for row in rows if row["status"] == "ok"]
    figure = Figure(figsize=(9, 7), layout="constrained")
    share, latency = figure.subplots(2, 1)
    for name, group in groups_of(succeeded, key).items():
        positions = [_number(row[key]) if key else float(row["job"]) for row in group]
        _line(share, positions, [row["escalation_rate"] for row in group], name)
        _line(latency, positions, [row.get(COST) for row in group], f"{name} p95".strip())
    share.set(ylabel="share escalated", ylim=(-0.05, 1.05), xlabel=key or "job")
    for tier, budget_ms in ANSWER_MS.items():
        latency.axhline(
            budget_ms, ls="--", color=TIER_COLOURS[tier], label=f"{tier} budget {budget_ms:.0f} ms"
        )
    latency.set(ylabel="request to first sound, ms", xlabel=key or "job")
    latency.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, dpi=120)


def plot_pareto(rows: list[Row], measure: str, key: str | None, path: Path) -> None:
    """Plot quality against p95 with both budgets and the Pareto front."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots()
    for name, group in groups_of(rows, key).items():
        _line(axes, [row.get(COST) for row in group], [row.get(measure) for row in group], name)
    front = pareto(rows, measure)
    if front:
        costs, gains = [row[COST] for row in front], [row[measure] for row in front]
        axes.step(costs, gains, where="post", color="black", lw=1, label="Pareto front")
    for tier, budget_ms in ANSWER_MS.items():
        axes.axvline(
            budget_ms, ls="--", color=TIER_COLOURS[tier], label=f"{tier} budget {budget_ms:.0f} ms"
        )
    axes.set(xlabel="p95 from request to first sound, ms", ylabel=measure)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.savefig(path, dpi=120)


def _line(axes: Any, xs: list[Any], ys: list[Any], label: str) -> None:
    """A line through the points of which both numbers are known."""
    points = [(x, y) for x, y in zip(xs, ys, strict=True) if x is not None and y is not None]
    if points:
        axes.plot(*zip(*points, strict=True), "o-", ms=4, label=label or None)


def _override_names(rows: list[Row]) -> list[str]:
    """The columns that came from the command line: those before the first figure."""
    names = list(rows[0]) if rows else []
    end = names.index("descriptions") if "descriptions" in names else len(names)
    return names[2:end]


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
