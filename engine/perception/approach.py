"""Time to collision of a track: measured from its growth, then combined with a speed prior.

Pure functions; the caller keeps the track.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from engine.perception.classes import ObjectKind
from engine.perception.geometry import fit_line, relative_noise
from engine.perception.track import Track

MIN_OBSERVATIONS = 3
SIGNIFICANT = 3.0  # the growth must differ from zero by this many standard errors
# Errors of successive edges are correlated: at r = 0.5 standard errors are larger by the factor
# sqrt((1 + r) / (1 - r)).
CORRELATED = 1.7
MIN_NOISE_SHARE = 0.25  # least share of the edge noise that a short window shows
RANGE_NOISE = 0.05  # least relative noise of a distance whose box is cut
MIN_TTC_S = 0.05
MAX_TTC_S = 30.0  # a walker would not notice a slower approach
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

    Uses the growth of the box where it was complete, since that needs no known size: 1 / size is
    proportional to the distance, so at constant speed it falls on a straight line that reaches zero
    at contact (Lee 1976, "tau"). Otherwise uses the distances in the same way. `edge_noise` is as
    in `BoxGeometry`.
    """
    newest = track.observations[-1]
    heights = [(item.time_s, 1.0 / item.height) for item in track.observations if item.height]
    widths = [(item.time_s, 1.0 / item.width) for item in track.observations if item.width]
    sizes = max(heights, widths, key=len)
    if len(sizes) >= MIN_OBSERVATIONS:
        return _zero_crossing(sizes, newest.time_s, relative_noise(1.0 / sizes[-1][1], edge_noise))
    distances = [
        (item.time_s, item.distance_m) for item in track.observations if item.label == newest.label
    ]
    if len(distances) >= MIN_OBSERVATIONS:
        return _zero_crossing(distances, newest.time_s, RANGE_NOISE)
    return None


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


def _zero_crossing(
    samples: Sequence[tuple[float, float]], now_s: float, noise_share: float
) -> Approach | None:
    """When a line through (time_s, value) reaches zero, in seconds from now; None unless it falls
    significantly."""
    mean = sum(value for _, value in samples) / len(samples)
    line = fit_line(samples, now_s, mean * noise_share * MIN_NOISE_SHARE)
    # few samples may agree by chance, so they must show more (as Student's quantiles rise)
    inflation = CORRELATED * (1.0 + 4.0 / (len(samples) - 2) ** 2)
    if line.slope >= -SIGNIFICANT * inflation * line.slope_error:
        return None
    ttc_s = max(MIN_TTC_S, line.value / -line.slope)
    # d(v / -s) = -dv / s + v ds / s², with the covariance of both
    variance = (
        line.value_error**2
        - 2.0 * line.covariance * line.value / line.slope
        + (line.slope_error * line.value / line.slope) ** 2
    )
    sigma_s = max(MIN_TTC_S, inflation * math.sqrt(variance) / -line.slope)
    return Approach(ttc_s, sigma_s) if ttc_s <= MAX_TTC_S else None
