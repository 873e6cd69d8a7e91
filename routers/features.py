"""The features of the learned routers, in [0, 1]: what is known before the describer runs.

All together take well under 2 ms. Those that need pixels come from
`engine.perception.image_statistics`. Nothing here knows how the features are used.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.core.glance import Glance, ImageStatistics, Obstacle, SceneClass
from engine.perception.classes import kind_of
from routers.complexity import complexity_of

FeatureVector = NDArray[np.float64]  # (features,)

DOUBTFUL = 0.5  # a box with a lower score is uncertain; packs accept boxes from 0.2 to 0.35
HALF_NEAR_M = 3.0  # nearness is 0.5 at this distance
MANY_PEOPLE = 4  # this many or more give 1

# Feature names, with the words for a decision's reasons; the words fit after "because of".
FEATURES: dict[str, str] = {
    "scene_probability": "the likeliest place's probability",
    "scene_margin": "the likeliest place's lead over the next",
    "scene_entropy": "how unsure the place is",
    "scene_indoor": "being indoors",
    "obstacle_count": "the number of obstacles",
    "obstacle_kinds": "the number of kinds",
    "people_count": "the number of people",
    "largest_area": "the largest obstacle's share of the picture",
    "covered_area": "the obstacles' share of the picture",
    "spread_across": "obstacles spread across the picture",
    "spread_down": "obstacles spread from top to bottom",
    "crowding": "obstacles that overlap",
    "mean_score": "the detector's mean score",
    "doubt": "boxes that the detector doubts",
    "nearness": "the nearest obstacle's distance",
    "hazard": "the gravest hazard",
    "blur": "blur",
    "exposure": "brightness",
    "contrast": "contrast",
    "edges": "edges",
    "strokes": "strokes like those of print",
    "change": "change since the last answer",
}


def features(glance: Glance) -> FeatureVector:
    """The features in the order of `FEATURES`. Adding an obstacle never lowers the counts.

    The entropy is divided by log(classes); the margin is between the two most probable places;
    crowding is the intersection over union, summed over pairs; nearness is 1 / (1 + distance /
    HALF_NEAR_M) of the nearest obstacle; hazard is the largest one (`engine.perception.classes`).
    Without obstacles, scores are 1 and all else is 0. Raises ValueError if the glance's scene or
    picture is not set.
    """
    if glance.scene is None or glance.picture is None:
        missing = "scene" if glance.scene is None else "picture"
        raise ValueError(f"a learned router needs a glance whose {missing} is set, got None")
    values = (
        *_of_scene(glance.scene),
        *_of_obstacles(glance),
        *_of_picture(glance.picture),
    )
    found: FeatureVector = np.clip(np.array(values), 0.0, 1.0)
    return found


def _of_scene(scene: SceneClass) -> tuple[float, ...]:
    likeliest = sorted((probability for _, probability in scene.top), reverse=True)
    margin = likeliest[0] - likeliest[1] if len(likeliest) > 1 else scene.probability
    return scene.probability, margin, scene.entropy, float(bool(scene.indoor))


def _of_obstacles(glance: Glance) -> tuple[float, ...]:
    items = glance.obstacles
    known = complexity_of(glance)
    image_area = glance.frame.width * glance.frame.height
    areas = [item.box.area / image_area for item in items]
    people = sum(item.label in ("person", "head") for item in items)
    return (
        known.number,
        known.variety,
        people / MANY_PEOPLE,
        max(areas, default=0.0),
        math.fsum(areas),
        known.horizontal_spread,
        known.vertical_spread,
        known.crowding,
        _mean([item.score for item in items], if_empty=1.0),
        _mean([float(item.score < DOUBTFUL) for item in items], if_empty=0.0),
        _nearness(items),
        max((kind_of(item.label).hazard for item in items), default=0.0),
    )


def _of_picture(picture: ImageStatistics) -> tuple[float, ...]:
    return (
        picture.blur,
        picture.exposure,
        picture.contrast,
        picture.edges,
        picture.strokes,
        picture.change,
    )


def _nearness(items: Sequence[Obstacle]) -> float:
    nearest_m = min((item.distance_m for item in items), default=math.inf)
    return 1.0 / (1.0 + nearest_m / HALF_NEAR_M)


def _mean(values: Sequence[float], if_empty: float) -> float:
    return math.fsum(values) / len(values) if values else if_empty
