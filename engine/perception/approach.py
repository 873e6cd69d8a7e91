"""Time to collision of a track: measured from its growth, then combined with a speed prior.

Pure functions; the caller keeps the track.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.perception.classes import ObjectKind
from engine.perception.geometry import fit_line, relative_noise
from engine.perception.track import SHAPE_SPREAD, Track

MIN_OBSERVATIONS = 3
MIN_OBSERVATIONS_CUT = 4  # of a box that the border cuts, which grows as the object enters
RECENT_S = 0.5  # a size that was last complete longer ago says nothing of the speed now
SIGNIFICANT = 3.0  # the growth must differ from zero by this many standard errors
# Errors of successive edges are correlated: at r = 0.5 standard errors are larger by the factor
# sqrt((1 + r) / (1 - r)).
CORRELATED = 1.7
MIN_NOISE_SHARE = 0.25  # least share of the edge noise that a short window shows
MIN_TTC_S = 0.05
MAX_TTC_S = 30.0  # a walker would not notice a slower approach
NEAR_ZERO = 1e-3  # a share: the least 1 / size that a line may reach
# Closing speed (m/s) and its standard deviation for a wearer who walks (and slows, stops and turns)
# and for one who stands (and leans and shifts).
WALKING = (1.0, 0.7)
STANDING = (0.0, 0.2)


@dataclass(frozen=True, slots=True)
class Approach:
    """A time to collision and its standard deviation, both in seconds."""

    ttc_s: float
    sigma_s: float


def time_to_collision(track: Track, edge_noise: float) -> Approach | None:
    """The time until contact at constant speed; None unless the object significantly comes nearer.

    Uses the growth of the box in each direction that the border does not cut, since that needs no
    known size: 1 / size is proportional to the distance, so at constant speed it falls on a straight
    line that reaches zero at contact (Lee 1976, "tau"). The rates of height and width are averaged,
    weighted by how steadily each grows: swinging limbs change the width, and whatever covers the feet
    in turns changes the height. The size of a box that is cut both ways is unknown, so it has no time
    to collision RECENT_S later. `edge_noise` is as in `BoxGeometry`.
    """
    newest = track.observations[-1]
    least = MIN_OBSERVATIONS if newest.height and newest.width else MIN_OBSERVATIONS_CUT
    growths = []
    for sizes, varies in (
        ([(item.time_s, item.height) for item in track.observations if item.height], 0.0),
        ([(item.time_s, item.width) for item in track.observations if item.width], SHAPE_SPREAD),
    ):
        if len(sizes) >= least and newest.time_s - sizes[-1][0] <= RECENT_S:
            noise_share = math.hypot(relative_noise(sizes[-1][1], edge_noise), varies)
            inverses = [(time_s, 1.0 / size) for time_s, size in sizes]
            growths.append(_growth(inverses, newest.time_s, noise_share))
    weights = [growth.error**-2 for growth in growths]
    total = sum(weights)
    rate = sum(w * g.rate for w, g in zip(weights, growths, strict=True))
    if rate <= SIGNIFICANT * math.sqrt(total) or rate * MAX_TTC_S < total:
        return None
    ttc_s = max(MIN_TTC_S, total / rate)
    sigma = math.hypot(*(w * g.sigma for w, g in zip(weights, growths, strict=True))) / total
    return Approach(ttc_s, max(MIN_TTC_S, sigma * ttc_s**2))


def with_speed_prior(
    approach: Approach,
    distance_m: float,
    distance_spread: float,
    kind: ObjectKind,
    walking: bool = True,
) -> Approach | None:
    """A measured approach combined with the usual closing speed of such an object and the wearer.

    Far away, edge noise can look like any speed, but no chair approaches at 10 m/s. The rate 1 /
    ttc is nearly normal in both. The prior's mean is the wearer's closing speed over the distance.
    Its deviation comes from the wearer's speed, half of the kind's maximum speed, and
    `distance_spread`, the relative sigma of the distance. A standing wearer (not `walking`) has no
    closing speed. None if the result is too slow for a walker to notice.
    """
    wearer_m_s, wearer_sigma_m_s = WALKING if walking else STANDING
    speed_sigma_m_s = math.hypot(wearer_sigma_m_s, kind.max_speed_m_s / 2)
    prior_rate = wearer_m_s / distance_m
    prior_sigma = (
        math.hypot(speed_sigma_m_s, distance_spread * (wearer_m_s + speed_sigma_m_s)) / distance_m
    )
    measured_sigma = approach.sigma_s / approach.ttc_s**2
    measured_weight, prior_weight = measured_sigma**-2, prior_sigma**-2
    weight = measured_weight + prior_weight
    rate = (measured_weight * (1.0 / approach.ttc_s) + prior_weight * prior_rate) / weight
    if rate * MAX_TTC_S <= 1.0:
        return None
    ttc_s = max(MIN_TTC_S, 1.0 / rate)
    return Approach(ttc_s, max(MIN_TTC_S, weight**-0.5 * ttc_s**2))


@dataclass(frozen=True, slots=True)
class _Growth:
    """How fast something grows, per second: `rate` is 1 / ttc, `error` its standard error if it does
    not grow, `sigma` if it grows so."""

    rate: float
    error: float
    sigma: float


def _growth(samples: Sequence[tuple[float, float]], now_s: float, noise_share: float) -> _Growth:
    """The growth now by a line through (time_s, 1 / size)."""
    mean = sum(value for _, value in samples) / len(samples)
    line = fit_line(samples, now_s, mean * noise_share * MIN_NOISE_SHARE)
    # few samples may agree by chance, so they must show more (as Student's quantiles rise)
    inflation = CORRELATED * (1.0 + 4.0 / (len(samples) - 2) ** 2)
    # the line may have reached zero before now
    value = max(line.value, -line.slope * MIN_TTC_S, NEAR_ZERO * mean)
    # d(-s / v) = -ds / v + s dv / v², with the covariance of both
    variance = (
        line.slope_error**2
        - 2.0 * line.covariance * line.slope / value
        + (line.value_error * line.slope / value) ** 2
    )
    return _Growth(
        -line.slope / value,
        inflation * line.slope_error / value,
        inflation * math.sqrt(max(0.0, variance)) / value,
    )
