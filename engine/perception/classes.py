"""What is known of each kind of thing before it is seen: how tall, how wide, how much it matters.

Sizes are metres of the whole as a detector boxes it. Sources: mean sizes of KITTI's labelled objects
(Geiger et al. 2012: pedestrian 1.76 x 0.66, car 1.53 x 1.63 x 3.88, truck 3.25 x 2.58 x 10.1, tram 3.53)
and of nuScenes' (Caesar et al. 2020: bicycle 1.28 x 0.60 x 1.68, motorcycle 1.47 x 0.77 x 2.11, bus 3.47 x
2.94 x 11.2); adult heights by NCD-RisC (eLife 2016: men 1.71, women 1.59, worldwide), shoes added,
lowered for children and the seated; door leaves by DIN 18101 (1.985 x 0.86), counters and tables by
EN 1116 and EN 527 (0.85 to 0.92, 0.74), signs and lights by the MUTCD (stop sign 0.75, three 300 mm
lenses 1.07). All others are common catalogue sizes, and their spread says so. Where things are seen
from the front or the side, the width is the geometric mean of both. Hazard is this project's choice.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """Spreads are one standard deviation as a share of the size: makes, ages, postures and views.
    `hazard` in (0, 1] orders equal times: a person goes before furniture. `stands`: the lower edge of
    its box is where it meets the ground, and not a hand, a shelf or a wall."""

    height_m: float
    width_m: float
    spread: float
    hazard: float
    width_spread: float = 0.4
    stands: bool = False
    fastest_m_s: float = 0.0


UNKNOWN = Kind(
    1.0, 0.7, 0.6, 0.5, 0.8, fastest_m_s=6.0
)  # placed with a wide sigma and announced, never dropped

HURTS = (
    0.8  # a hazard from which a missed thing counts as dangerous: people, vehicles, stairs, poles
)

KINDS: dict[str, Kind] = {
    "person": Kind(1.68, 0.5, 0.15, 1.0, stands=True, fastest_m_s=3.0),
    "head": Kind(0.24, 0.2, 0.15, 0.9, fastest_m_s=3.0),
    "bicycle": Kind(1.1, 1.0, 0.2, 0.95, 0.5, stands=True, fastest_m_s=9.0),
    "motorcycle": Kind(1.2, 1.3, 0.2, 1.0, 0.5, stands=True, fastest_m_s=20.0),
    "car": Kind(1.53, 2.6, 0.12, 1.0, 0.45, stands=True, fastest_m_s=20.0),
    "bus": Kind(3.2, 5.5, 0.15, 1.0, 0.7, stands=True, fastest_m_s=20.0),
    "truck": Kind(2.9, 4.5, 0.3, 1.0, 0.7, stands=True, fastest_m_s=20.0),
    "train": Kind(3.7, 6.0, 0.2, 1.0, 1.0, stands=True, fastest_m_s=30.0),
    "airplane": Kind(10.0, 30.0, 0.6, 0.4, 0.6, fastest_m_s=30.0),
    "boat": Kind(1.8, 4.0, 0.6, 0.4, 0.6, fastest_m_s=5.0),
    "traffic light": Kind(1.0, 0.4, 0.3, 0.3),
    "traffic sign": Kind(0.7, 0.65, 0.3, 0.3),
    "stop sign": Kind(0.75, 0.75, 0.15, 0.3, 0.2),
    "fire hydrant": Kind(0.75, 0.35, 0.2, 0.7, stands=True),
    "parking meter": Kind(1.3, 0.3, 0.3, 0.7, stands=True),
    "bench": Kind(0.85, 1.5, 0.2, 0.7, stands=True),
    "pole": Kind(3.0, 0.15, 0.5, 0.8, 0.5, stands=True),
    "stairs": Kind(1.5, 1.5, 0.6, 0.95, 0.5, stands=True),
    "pothole": Kind(0.25, 0.5, 0.6, 0.9, 0.6, stands=True),
    "door": Kind(2.0, 0.86, 0.08, 0.6, 0.3, stands=True, fastest_m_s=1.0),
    "waste container": Kind(1.0, 0.6, 0.3, 0.7, stands=True),
    "handrail": Kind(0.95, 1.5, 0.3, 0.6, 0.6),
    "dog": Kind(0.55, 0.6, 0.35, 0.85, 0.5, stands=True, fastest_m_s=6.0),
    "cat": Kind(0.28, 0.4, 0.3, 0.6, 0.5, fastest_m_s=4.0),
    "horse": Kind(1.7, 1.6, 0.2, 0.9, 0.6, stands=True, fastest_m_s=8.0),
    "cow": Kind(1.45, 1.6, 0.2, 0.9, 0.6, stands=True, fastest_m_s=3.0),
    "sheep": Kind(0.85, 0.9, 0.2, 0.7, 0.5, stands=True, fastest_m_s=3.0),
    "elephant": Kind(2.8, 3.0, 0.2, 0.9, 0.5, stands=True, fastest_m_s=5.0),
    "bear": Kind(1.2, 1.2, 0.4, 1.0, 0.5, stands=True, fastest_m_s=5.0),
    "zebra": Kind(1.4, 1.5, 0.2, 0.8, 0.5, stands=True, fastest_m_s=8.0),
    "giraffe": Kind(4.8, 2.0, 0.2, 0.8, 0.5, stands=True, fastest_m_s=6.0),
    "bird": Kind(0.2, 0.25, 0.5, 0.2, 0.6, fastest_m_s=8.0),
    "backpack": Kind(0.48, 0.32, 0.25, 0.5, fastest_m_s=3.0),
    "handbag": Kind(0.3, 0.35, 0.35, 0.3, fastest_m_s=3.0),
    "suitcase": Kind(0.65, 0.42, 0.25, 0.7, stands=True, fastest_m_s=3.0),
    "umbrella": Kind(0.6, 1.0, 0.4, 0.5, fastest_m_s=3.0),
    "skateboard": Kind(0.15, 0.6, 0.4, 0.8, 0.6, stands=True, fastest_m_s=6.0),
    "surfboard": Kind(1.9, 0.6, 0.4, 0.5, 0.6, fastest_m_s=3.0),
    "chair": Kind(0.88, 0.5, 0.18, 0.7, 0.25, stands=True),
    "couch": Kind(0.85, 1.9, 0.15, 0.6, 0.3, stands=True),
    "bed": Kind(0.7, 1.7, 0.4, 0.6, 0.3, stands=True),
    "dining table": Kind(0.75, 1.4, 0.2, 0.7, 0.35, stands=True),
    "potted plant": Kind(0.6, 0.45, 0.6, 0.5, 0.5),
    "toilet": Kind(0.75, 0.4, 0.15, 0.5, 0.25, stands=True),
    "tv": Kind(0.6, 1.0, 0.35, 0.3),
    "refrigerator": Kind(1.75, 0.65, 0.15, 0.5, 0.25, stands=True),
    "oven": Kind(0.75, 0.6, 0.25, 0.5, 0.2),
    "microwave": Kind(0.3, 0.5, 0.15, 0.2, 0.2),
    "sink": Kind(0.25, 0.55, 0.4, 0.3),
    "cabinet door": Kind(0.7, 0.45, 0.3, 0.3),
    "refrigerator door": Kind(1.2, 0.65, 0.3, 0.3),
    "bookcase": Kind(1.8, 0.9, 0.25, 0.6, stands=True),
    "heater": Kind(0.6, 1.0, 0.3, 0.5),
    "bottle": Kind(0.26, 0.08, 0.2, 0.2, 0.2),
    "cup": Kind(0.1, 0.09, 0.3, 0.2, 0.3),
    "bowl": Kind(0.08, 0.18, 0.4, 0.2, 0.3),
    "vase": Kind(0.3, 0.16, 0.4, 0.3),
    "book": Kind(0.23, 0.16, 0.3, 0.2),
    "clock": Kind(0.3, 0.3, 0.4, 0.2),
    "laptop": Kind(0.24, 0.34, 0.2, 0.2, 0.2),
    "handle": Kind(0.15, 0.12, 0.5, 0.2),
}


def kind_of(label: str) -> Kind:
    """The kind of a detector's label, or `UNKNOWN`."""
    return KINDS.get(label, UNKNOWN)
