"""Prior knowledge of each kind of object: height, width, speed and hazard.

Sizes are metres of the whole object as a detector boxes it. Sources: mean sizes of KITTI's labelled
objects (Geiger et al. 2012: pedestrian 1.76 x 0.66, car 1.53 x 1.63 x 3.88, truck 3.25 x 2.58 x
10.1, tram 3.53) and of nuScenes' (Caesar et al. 2020: bicycle 1.28 x 0.60 x 1.68, motorcycle 1.47 x
0.77 x 2.11, bus 3.47 x 2.94 x 11.2); adult heights by NCD-RisC (eLife 2016: men 1.71, women 1.59,
worldwide), shoes added, lowered for children and seated people; door leaves by DIN 18101 (1.985 x
0.86), counters and tables by EN 1116 and EN 527 (0.85 to 0.92, 0.74), signs and lights by the MUTCD
(stop sign 0.75, three 300 mm lenses 1.07). All others are common catalogue sizes, with a larger
spread. For an object seen from the front or the side, the width is the geometric mean of both.
Hazards are this project's choice.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ObjectKind:
    """Spreads are one standard deviation, as a share of the size, over models, ages, postures and
    views. `hazard` in (0, 1] ranks objects at equal time: a person precedes furniture.
    `stands_on_ground`: the lower edge of the box touches the ground, not a hand, a shelf or a
    wall."""

    height_m: float
    width_m: float
    spread: float
    hazard: float
    width_spread: float = 0.4
    stands_on_ground: bool = False
    max_speed_m_s: float = 0.0

    @property
    def may_hurt(self) -> bool:
        """Whether missing such an object is dangerous: people, vehicles, stairs, poles."""
        return self.hazard >= HURTS


# An unknown label is localised with a large sigma and announced, never dropped.
UNKNOWN = ObjectKind(1.0, 0.7, 0.6, 0.5, 0.8, max_speed_m_s=6.0)

HURTS = 0.8  # the hazard from which `ObjectKind.may_hurt` is true

KINDS: dict[str, ObjectKind] = {
    "person": ObjectKind(1.68, 0.5, 0.15, 1.0, stands_on_ground=True, max_speed_m_s=3.0),
    "head": ObjectKind(0.24, 0.2, 0.15, 0.9, max_speed_m_s=3.0),
    "bicycle": ObjectKind(1.1, 1.0, 0.2, 0.95, 0.5, stands_on_ground=True, max_speed_m_s=9.0),
    "motorcycle": ObjectKind(1.2, 1.3, 0.2, 1.0, 0.5, stands_on_ground=True, max_speed_m_s=20.0),
    "car": ObjectKind(1.53, 2.6, 0.12, 1.0, 0.45, stands_on_ground=True, max_speed_m_s=20.0),
    "bus": ObjectKind(3.2, 5.5, 0.15, 1.0, 0.7, stands_on_ground=True, max_speed_m_s=20.0),
    "truck": ObjectKind(2.9, 4.5, 0.3, 1.0, 0.7, stands_on_ground=True, max_speed_m_s=20.0),
    "train": ObjectKind(3.7, 6.0, 0.2, 1.0, 1.0, stands_on_ground=True, max_speed_m_s=30.0),
    "airplane": ObjectKind(10.0, 30.0, 0.6, 0.4, 0.6, max_speed_m_s=30.0),
    "boat": ObjectKind(1.8, 4.0, 0.6, 0.4, 0.6, max_speed_m_s=5.0),
    "traffic light": ObjectKind(1.0, 0.4, 0.3, 0.3),
    "traffic sign": ObjectKind(0.7, 0.65, 0.3, 0.3),
    "stop sign": ObjectKind(0.75, 0.75, 0.15, 0.3, 0.2),
    "fire hydrant": ObjectKind(0.75, 0.35, 0.2, 0.7, stands_on_ground=True),
    "parking meter": ObjectKind(1.3, 0.3, 0.3, 0.7, stands_on_ground=True),
    "bench": ObjectKind(0.85, 1.5, 0.2, 0.7, stands_on_ground=True),
    "pole": ObjectKind(3.0, 0.15, 0.5, 0.8, 0.5, stands_on_ground=True),
    "stairs": ObjectKind(1.5, 1.5, 0.6, 0.95, 0.5, stands_on_ground=True),
    "pothole": ObjectKind(0.25, 0.5, 0.6, 0.9, 0.6, stands_on_ground=True),
    "door": ObjectKind(2.0, 0.86, 0.08, 0.6, 0.3, stands_on_ground=True, max_speed_m_s=1.0),
    "waste container": ObjectKind(1.0, 0.6, 0.3, 0.7, stands_on_ground=True),
    "handrail": ObjectKind(0.95, 1.5, 0.3, 0.6, 0.6),
    "dog": ObjectKind(0.55, 0.6, 0.35, 0.85, 0.5, stands_on_ground=True, max_speed_m_s=6.0),
    "cat": ObjectKind(0.28, 0.4, 0.3, 0.6, 0.5, max_speed_m_s=4.0),
    "horse": ObjectKind(1.7, 1.6, 0.2, 0.9, 0.6, stands_on_ground=True, max_speed_m_s=8.0),
    "cow": ObjectKind(1.45, 1.6, 0.2, 0.9, 0.6, stands_on_ground=True, max_speed_m_s=3.0),
    "sheep": ObjectKind(0.85, 0.9, 0.2, 0.7, 0.5, stands_on_ground=True, max_speed_m_s=3.0),
    "elephant": ObjectKind(2.8, 3.0, 0.2, 0.9, 0.5, stands_on_ground=True, max_speed_m_s=5.0),
    "bear": ObjectKind(1.2, 1.2, 0.4, 1.0, 0.5, stands_on_ground=True, max_speed_m_s=5.0),
    "zebra": ObjectKind(1.4, 1.5, 0.2, 0.8, 0.5, stands_on_ground=True, max_speed_m_s=8.0),
    "giraffe": ObjectKind(4.8, 2.0, 0.2, 0.8, 0.5, stands_on_ground=True, max_speed_m_s=6.0),
    "bird": ObjectKind(0.2, 0.25, 0.5, 0.2, 0.6, max_speed_m_s=8.0),
    "backpack": ObjectKind(0.48, 0.32, 0.25, 0.5, max_speed_m_s=3.0),
    "handbag": ObjectKind(0.3, 0.35, 0.35, 0.3, max_speed_m_s=3.0),
    "suitcase": ObjectKind(0.65, 0.42, 0.25, 0.7, stands_on_ground=True, max_speed_m_s=3.0),
    "umbrella": ObjectKind(0.6, 1.0, 0.4, 0.5, max_speed_m_s=3.0),
    "skateboard": ObjectKind(0.15, 0.6, 0.4, 0.8, 0.6, stands_on_ground=True, max_speed_m_s=6.0),
    "surfboard": ObjectKind(1.9, 0.6, 0.4, 0.5, 0.6, max_speed_m_s=3.0),
    "chair": ObjectKind(0.88, 0.5, 0.18, 0.7, 0.25, stands_on_ground=True),
    "couch": ObjectKind(0.85, 1.9, 0.15, 0.6, 0.3, stands_on_ground=True),
    "bed": ObjectKind(0.7, 1.7, 0.4, 0.6, 0.3, stands_on_ground=True),
    "dining table": ObjectKind(0.75, 1.4, 0.2, 0.7, 0.35, stands_on_ground=True),
    "potted plant": ObjectKind(0.6, 0.45, 0.6, 0.5, 0.5),
    "toilet": ObjectKind(0.75, 0.4, 0.15, 0.5, 0.25, stands_on_ground=True),
    "tv": ObjectKind(0.6, 1.0, 0.35, 0.3),
    "refrigerator": ObjectKind(1.75, 0.65, 0.15, 0.5, 0.25, stands_on_ground=True),
    "oven": ObjectKind(0.75, 0.6, 0.25, 0.5, 0.2),
    "microwave": ObjectKind(0.3, 0.5, 0.15, 0.2, 0.2),
    "sink": ObjectKind(0.25, 0.55, 0.4, 0.3),
    "cabinet door": ObjectKind(0.7, 0.45, 0.3, 0.3),
    "refrigerator door": ObjectKind(1.2, 0.65, 0.3, 0.3),
    "bookcase": ObjectKind(1.8, 0.9, 0.25, 0.6, stands_on_ground=True),
    "heater": ObjectKind(0.6, 1.0, 0.3, 0.5),
    "bottle": ObjectKind(0.26, 0.08, 0.2, 0.2, 0.2),
    "cup": ObjectKind(0.1, 0.09, 0.3, 0.2, 0.3),
    "bowl": ObjectKind(0.08, 0.18, 0.4, 0.2, 0.3),
    "vase": ObjectKind(0.3, 0.16, 0.4, 0.3),
    "book": ObjectKind(0.23, 0.16, 0.3, 0.2),
    "clock": ObjectKind(0.3, 0.3, 0.4, 0.2),
    "laptop": ObjectKind(0.24, 0.34, 0.2, 0.2, 0.2),
    "handle": ObjectKind(0.15, 0.12, 0.5, 0.2),
}


def kind_of(label: str) -> ObjectKind:
    """The kind of a detector label, or `UNKNOWN`."""
    return KINDS.get(label, UNKNOWN)
