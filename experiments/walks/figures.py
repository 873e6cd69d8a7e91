"""Figures of played walks: errors of distance, bearing and time to collision, and quality of
alerts.
"""

import itertools
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from experiments.walks.measure import FAR_M, MAX_TTC_S, STOP_S, VISIBLE_S, Estimate, Played

Figures = dict[str, float | int | None]


def figures(played: Sequence[Played]) -> Figures:
    """All figures. Of each error: its median, its 90th percentile, and the shares within one and
    two stated sigmas (0.68 and 0.95 if errors were normal)."""
    estimates = [e for walk in played for e in walk.estimates if e.true_m <= FAR_M]
    return {
        "walks": len(played),
        "minutes": round(_minutes(played), 1),
        "placed": len(estimates),
        **distance_figures(estimates),
        **bearing_figures(estimates),
        **ttc_figures(estimates),
        **alert_figures(played),
    }


def distance_figures(estimates: Sequence[Estimate]) -> Figures:
    """Errors as shares of the true distance, so that near and far objects count alike."""
    shares = [abs(e.found.distance_m - e.true_m) / e.true_m for e in estimates]
    sigmas = [
        abs(e.found.distance_m - e.true_m) / max(1e-9, e.found.distance_sigma_m) for e in estimates
    ]
    return _spread("distance_error", shares) | _within("distance", sigmas)


def bearing_figures(estimates: Sequence[Estimate]) -> Figures:
    """Errors in degrees, the head's sway included. `side_wrong`: left and right confused."""
    errors = [abs(e.found.bearing_deg - e.true_deg) for e in estimates]
    swapped = [
        {e.found.side, "left" if e.true_deg < 0 else "right"} == {"left", "right"}
        for e in estimates
    ]
    return _spread("bearing_error_deg", errors) | {"side_wrong": _mean(swapped)}


def ttc_figures(estimates: Sequence[Estimate]) -> Figures:
    """Errors as shares of the true time, for objects that arrive within MAX_TTC_S.

    `ttc_known` is the share of these that have an estimate; `ttc_false` is the share of objects
    that do not come nearer and have an estimate below MAX_TTC_S.
    """
    comes = [e for e in estimates if e.true_ttc_s is not None and e.true_ttc_s <= MAX_TTC_S]
    stays = [e for e in estimates if e.true_ttc_s is None]
    shares, sigmas = [], []
    for e in comes:
        found_s, true_s = e.found.ttc_s, e.true_ttc_s
        if found_s is not None and true_s is not None:
            shares.append(abs(found_s - true_s) / true_s)
            sigmas.append(abs(found_s - true_s) / max(1e-9, e.found.ttc_sigma_s or 0.0))
    false = [e.found.ttc_s is not None and e.found.ttc_s <= MAX_TTC_S for e in stays]
    return {
        **_spread("ttc_error", shares),
        **_within("ttc", sigmas),
        "ttc_known": _round(len(shares) / len(comes)) if comes else None,
        "ttc_false": _mean(false),
    }


def alert_figures(played: Sequence[Played]) -> Figures:
    """How many hazards were announced in time, and how much speech was unnecessary.

    `hazards`: objects walked into that were in view for VISIBLE_S before; `missed`: those with no
    sound about them before contact. `warning_s`: from the first sound to contact. `late`: less than
    STOP_S between the last word and contact, of all hazards. False alarms: heard alerts about
    objects that are not and will not be in the way, false positives included.
    """
    hazards = [h for walk in played for h in walk.hazards if h.visible_s >= VISIBLE_S]
    unseen = sum(len(walk.hazards) for walk in played) - len(hazards)
    heard = [a for walk in played for a in walk.alerts if a.heard.started_s is not None]
    warned_s = [
        h.contact_s - h.alert.heard.started_s
        for h in hazards
        if h.alert is not None and h.alert.heard.started_s is not None
    ]
    late = [
        h.alert is None or h.contact_s - (h.alert.heard.ended_s or h.contact_s) < STOP_S
        for h in hazards
    ]
    minutes = _minutes(played)
    clears = [a for a in heard if a.all_clear]
    return {
        "hazards": len(hazards),
        "hazards_unseen": unseen,
        "hazards_missed": sum(h.alert is None for h in hazards),
        "warning_s_median": _round(float(np.median(warned_s))) if warned_s else None,
        "warning_s_p10": _round(float(np.percentile(warned_s, 10))) if warned_s else None,
        "late_share": _mean(late),
        "false_alarms_per_min": _round(
            sum(not a.justified and not a.all_clear for a in heard) / minutes
        ),
        "ghost_alarms_per_min": _round(
            sum(a.thing is None and not a.all_clear for a in heard) / minutes
        ),
        "alerts_per_min": _round(len(heard) / minutes),
        "alerts_dropped_share": _mean(
            [a.heard.started_s is None for walk in played for a in walk.alerts]
        ),
        "all_clears": len(clears),
        "all_clears_wrong": sum(not a.justified for a in clears),
        "words_per_min": _round(sum(walk.words for walk in played) / minutes),
    }


def by_distance(
    played: Sequence[Played], bins_m: Sequence[float] = (0.0, 2.0, 4.0, 8.0, FAR_M)
) -> dict[str, Figures]:
    """The distance figures by true distance, near to far."""
    table = {}
    for low, high in itertools.pairwise(bins_m):
        some = [e for walk in played for e in walk.estimates if low <= e.true_m < high]
        table[f"{low:g} to {high:g} m"] = {"placed": len(some)} | distance_figures(some)
    return table


def _minutes(played: Iterable[Played]) -> float:
    return max(1e-9, sum(walk.walk.duration_s for walk in played) / 60.0)


def _spread(name: str, values: Sequence[float]) -> Figures:
    at: Callable[[float], float | None] = lambda q: (  # noqa: E731
        _round(float(np.percentile(values, q))) if values else None
    )
    return {f"{name}_median": at(50), f"{name}_p90": at(90)}


def _within(name: str, sigmas: Sequence[float]) -> Figures:
    return {
        f"{name}_within_{count}_sigma": _mean([sigma <= count for sigma in sigmas])
        for count in (1, 2)
    }


def _mean(values: Sequence[bool]) -> float | None:
    return _round(sum(values) / len(values)) if values else None


def _round(value: float) -> float:
    return round(value, 3)
