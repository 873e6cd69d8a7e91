"""Evaluates every router and writes experiments/results/router_card.md with its plots.

`python -m experiments.router.card` makes the recordings that are missing
(`experiments.router.records`), scores every image once by every router, and computes the figures.
It trains nothing: routers/learned.json was trained by `experiments.router.train` on other images.
"""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from engine.config import QualityConfig
from engine.core.budgets import FULL_MS, QUICK_MS
from engine.evaluation import stored_outputs as records
from experiments.common import command_parser, hardware, last_line, machine
from experiments.router.curves import MARGIN
from experiments.router.data import JUDGED
from experiments.router.figures import (
    BOOTSTRAPS,
    CALLS,
    CONFIDENCE,
    RISK,
    ROUTERS,
    SHARES,
    ConfidenceInterval,
    SetFigures,
    at_share,
    measure,
    read_set,
)
from experiments.router.plots import plot_shifts, plot_test
from experiments.router.records import add_record_arguments, make_recordings, recording
from routers.model import Model, read_model

NO_CAPTIONS = "test, captions not counted"
PLOTS = ("router_card.png", "router_card_shifts.png")


def best_router(test: SetFigures) -> str:
    """The router that `mode=auto` should use: learned only if it is significantly better than
    count, and better than rules.
    """
    learned, rules, count = (test.routers[name] for name in ("learned", "rules", "count"))
    if learned.better_than_count.low > 0 and learned.apgr.value > rules.apgr.value:
        return "learned"
    return "rules" if rules.apgr.value >= count.apgr.value else "count"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with numbers aligned to the right."""
    rule = "|".join(["---"] + ["---:"] * (len(head) - 1))
    lines = [f"| {' | '.join(head)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines)


def _with_interval(item: ConfidenceInterval, sign: str = "") -> str:
    if math.isnan(item.value):
        return "–"
    return f"{item.value:{sign}.3f} ({item.low:{sign}.3f} to {item.high:{sign}.3f})"


def tiers_table(test: SetFigures) -> str:
    """Quality of both tiers, by component."""
    found = test.outcomes
    rows = [
        [name, f"{quick:.3f}", "–" if full != full else f"{full:.3f}"]
        for name, (quick, full) in test.parts.items()
    ]
    rows.append(["**quality**, weighted", f"{found.quick.mean():.3f}", f"{found.full.mean():.3f}"])
    named = int(found.hazards.sum())
    missed = [int(found.quick_missed.sum()), int(found.full_missed.sum())]
    rows.append([f"near hazards missed, of {named}", *map(str, missed)])
    return table(["", "always quick", "always full"], rows)


def routers_table(test: SetFigures) -> str:
    """Area, APGR, shares of escalations and failure prediction of each router."""
    rows = []
    for name in ROUTERS:
        item = test.routers[name]
        error = "–" if item.calibration_error is None else f"{item.calibration_error:.3f}"
        rows.append(
            [
                name,
                f"{item.curve.area:.4f}",
                _with_interval(item.apgr),
                _with_interval(item.lift, "+"),
                _with_interval(item.better_than_count, "+"),
                *(f"{share:.0%}" for share in item.calls),
                f"{item.auroc:.3f}",
                error,
            ]
        )
    calls = [f"calls for {part:.0%}" for part in CALLS]
    head = [
        "router",
        "area",
        "APGR (95 %)",
        "lift",
        "lift less count's",
        *calls,
        "AUROC",
        "calibration error",
    ]
    return table(head, rows)


def shares_table(test: SetFigures) -> str:
    """Cost and quality of each router at fixed shares of escalations."""
    rows = []
    for name in ROUTERS:
        for share in SHARES:
            quality, mean, p50, p95, missed = at_share(test.routers[name], test.outcomes, share)
            rows.append(
                [
                    f"{name}, {share:.0%}",
                    f"{quality:.3f}",
                    f"{mean:.0f}",
                    f"{p50:.0f}",
                    f"{p95:.0f}",
                    str(missed),
                ]
            )
    head = ["router, share escalated", "quality", "mean ms", "p50 ms", "p95 ms", "hazards missed"]
    return table(head, rows)


def self_set_table(found: SetFigures) -> str:
    """Routers that set their own threshold."""
    head = [
        "",
        "threshold",
        "escalated",
        "wrongly left",
        "quality",
        "mean ms",
        "hazards missed",
        "with both said, at most",
    ]
    return table(
        head,
        [
            [
                item.name,
                f"{item.threshold:.3f}",
                f"{item.escalated:.0%}",
                f"{item.wrongly_left:.1%}",
                f"{item.quality:.3f}",
                f"{item.mean_ms:.0f}",
                str(item.hazards_missed),
                str(item.hazards_missed_both_said),
            ]
            for item in found.self_set
        ],
    )


def shifts_table(sets: Mapping[str, SetFigures]) -> str:
    """Every router on every set."""
    rows = []
    for name, found in sets.items():
        items = found.routers
        learned, conformal = items["learned"], found.self_set[0]
        rows.append(
            [
                f"{name}, {len(found.outcomes)}",
                f"{found.outcomes.quick.mean():.3f} / {found.outcomes.full.mean():.3f}",
                "–" if math.isnan(learned.apgr.value) else f"{learned.apgr.value:.2f}",
                *(
                    f"{items[key].lift.value:+.3f}"
                    for key in ("learned", "rules", "count", "oracle")
                ),
                _with_interval(learned.better_than_count, "+"),
                f"{learned.auroc:.2f}",
                f"{learned.calibration_error or 0:.3f}",
                f"{conformal.wrongly_left:.1%}, {conformal.escalated:.0%}",
            ]
        )
    head = ["set, pictures", "quality quick / full", "APGR learned"]
    head += [f"lift {name}" for name in ("learned", "rules", "count", "oracle")]
    head += [
        "lift, learned less count",
        "AUROC",
        "calibration error",
        "conformal: wrongly left, escalated",
    ]
    return table(head, rows)


def claim_table(sets: Mapping[str, SetFigures]) -> str:
    """The first design's claim about shares and average latency, for every set."""
    rows = []
    for name, found in sets.items():
        for router in found.self_set[-2:]:
            simple = 1 - router.escalated
            design_ms = simple * QUICK_MS + router.escalated * FULL_MS
            rows.append(
                [
                    f"{name}, {router.name}",
                    f"{simple:.0%}",
                    f"{router.mean_ms:.0f}",
                    f"{design_ms:.0f}",
                ]
            )
    head = [
        "set, router",
        "left to the template",
        "average measured, ms",
        f"average if {QUICK_MS:.0f} and {FULL_MS:.0f}",
    ]
    return table(head, rows)


def stages_table(sets: Mapping[str, SetFigures]) -> str:
    """The recorded latency of each stage, by set."""
    names = list(sets)
    stages = list(sets[names[0]].stages)
    rows = [
        [stage, *("{:.1f} / {:.1f}".format(*sets[name].stages[stage]) for name in names)]
        for stage in stages
    ]
    return table(["p50 / p95, ms", *names], rows)


def card(sets: Mapping[str, SetFigures], model: Model, packs: str) -> str:
    """The whole text: `card.md.j2` with its values."""
    test = sets["test"]
    recorded = {name: found for name, found in sets.items() if name != NO_CAPTIONS}
    learned, rules, count = (test.routers[name] for name in ("learned", "rules", "count"))
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, autoescape=False
    )
    return environment.get_template("card.md.j2").render(
        machine=machine(),
        packs=packs,
        plots=PLOTS,
        beats=learned.better_than_count.low > 0,
        best=best_router(test),
        learned=_with_interval(learned.apgr),
        rules=_with_interval(rules.apgr),
        count=_with_interval(count.apgr),
        difference=_with_interval(learned.better_than_count, "+"),
        trained=model.trained,
        weights=", ".join(f"{key} {value:g}" for key, value in vars(QualityConfig()).items()),
        margin=f"{MARGIN:g}",
        bootstraps=BOOTSTRAPS,
        risk=f"{RISK:.0%}",
        confidence=f"{CONFIDENCE:.0%}",
        quick_ms=f"{QUICK_MS:.0f}",
        full_ms=f"{FULL_MS:.0f}",
        tiers_table=tiers_table(test),
        routers_table=routers_table(test),
        shares_table=shares_table(test),
        self_set_table=self_set_table(test),
        shifts_table=shifts_table(sets),
        claim_table=claim_table(recorded),
        stages_table=stages_table(recorded),
    )


def summary(sets: Mapping[str, SetFigures]) -> dict[str, Any]:
    """The figures of the last line."""
    return {
        "best": best_router(sets["test"]),
        "sets": {
            name: {
                "pictures": len(found.outcomes),
                "quick": round(float(found.outcomes.quick.mean()), 4),
                "full": round(float(found.outcomes.full.mean()), 4),
                "lift": {key: round(item.lift.value, 4) for key, item in found.routers.items()},
            }
            for name, found in sets.items()
        },
    }


def report(args: argparse.Namespace) -> dict[str, Any]:
    """Measure every set, write the card and its plots; return what the last line says."""
    make_recordings(args, JUDGED)
    model = read_model()
    sets = {name: measure(name, read_set(args.work, name), model) for name in JUDGED}
    without = replace(QualityConfig(), caption=0.0)
    sets[NO_CAPTIONS] = measure(NO_CAPTIONS, read_set(args.work, "test"), model, without)
    header, _ = records.read(recording(args.work, "test"))
    packs = ", ".join(
        f"{tier} {c.name} ({c.pack}, {c.backend})" for tier, c in header.models.items()
    )
    plot_test(sets["test"], args.out / PLOTS[0])
    plot_shifts(sets, args.out / PLOTS[1])
    (args.out / "router_card.md").write_text(card(sets, model, packs) + "\n", encoding="utf-8")
    return hardware() | summary(sets)


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.router.card", __doc__)
    add_record_arguments(parser)
    parser.add_argument(
        "--out", type=Path, default=Path("experiments/results"), help="card and plots"
    )
    args = parser.parse_args(arguments)
    return last_line("experiments.router.card", lambda: report(args))


if __name__ == "__main__":
    sys.exit(main())
