"""The router card's plots."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from engine.core.budgets import FULL_MS, QUICK_MS
from experiments.router.curves import MARGIN, sweep
from experiments.router.figures import SetFigures

COLOURS = {
    "learned": "tab:blue",
    "rules": "tab:orange",
    "count": "tab:green",
    "random": "tab:gray",
    "oracle": "black",
}


def plot_test(found: SetFigures, path: Path) -> None:
    """Quality against the share escalated and against measured latency, and the calibration of
    learned.
    """
    figure = Figure(figsize=(10, 8), layout="constrained")
    (share, mean), (late, sure) = figure.subplots(2, 2)
    for name, scored in found.routers.items():
        colour = COLOURS[name]
        share.plot(scored.curve.share, scored.curve.quality, color=colour, label=name)
        thresholds = np.quantile(scored.score, np.linspace(0, 1, 41))
        swept = sweep(scored.score, found.outcomes, np.append(thresholds, np.inf))
        mean.plot(swept.p50_ms, swept.quality, ".-", ms=3, lw=1, color=colour)
        late.plot(swept.p95_ms, swept.quality, ".-", ms=3, lw=1, color=colour)
    share.set(
        xlabel="share escalated",
        ylabel="quality",
        title=f"{found.name}: {len(found.outcomes)} pictures",
    )
    share.legend()
    for axes, what in ((mean, "p50"), (late, "p95")):
        axes.axvline(QUICK_MS, ls="--", color="tab:green", label=f"{QUICK_MS:.0f} ms")
        axes.axvline(FULL_MS, ls="--", color="tab:blue", label=f"{FULL_MS:.0f} ms")
        axes.set(xlabel=f"{what} from asking to the first sound, ms", ylabel="quality")
        axes.legend()
    learned = found.routers["learned"].score
    better = found.outcomes.gain > MARGIN
    bins = np.array_split(np.argsort(learned, kind="stable"), 10)
    sure.plot([0, 1], [0, 1], color="tab:gray", lw=1)
    sure.plot([learned[b].mean() for b in bins], [better[b].mean() for b in bins], "o-")
    sure.set(
        xlabel=f"learned: probability of a gain above {MARGIN:g}", ylabel="how often it is",
        xlim=(0, 1), ylim=(0, 1),
    )  # fmt: skip
    figure.savefig(path, dpi=90)


def plot_shifts(sets: Mapping[str, SetFigures], path: Path) -> None:
    """Quality against the share escalated, one panel for each set."""
    figure = Figure(figsize=(11, 6.5), layout="constrained")
    panels = figure.subplots(2, -(-len(sets) // 2), squeeze=False).ravel()
    for axes, (name, found) in zip(panels, sets.items(), strict=False):
        for router in ("learned", "rules", "count", "oracle"):
            line = found.routers[router].curve
            axes.plot(line.share, line.quality, color=COLOURS[router], label=router)
        axes.set(title=f"{name}, {len(found.outcomes)}", xlabel="share escalated")
    for axes in panels[len(sets) :]:
        axes.axis("off")
    panels[0].legend()
    figure.savefig(path, dpi=90)
