"""The walks: scripted ones, which the tests play too, and any number of random ones."""

import math
import random
from dataclasses import replace

from engine.core.camera import Camera, Fisheye
from engine.perception.camera import pinhole
from engine.perception.classes import kind_of
from experiments.walks.world import Thing, Walk

GLASSES = pinhole(640, 480, 70)
PHONE = pinhole(480, 640, 70)
WIDE = Fisheye(240.0, 240.0, 320.0, 240.0, 640, 480, -0.02, 0.004)
BOX = "cardboard box"  # a class without a known size, which must still be announced

# What a walk may meet: label, relative frequency, whether it may move.
STREET = (
    ("person", 6, True),
    ("bicycle", 2, True),
    ("dog", 1, True),
    ("chair", 2, False),
    ("bench", 1, False),
    ("pole", 2, False),
    ("waste container", 1, False),
    ("potted plant", 1, False),
    ("suitcase", 1, False),
    (BOX, 2, False),
)


def thing(label: str, x_m: float, z_m: float, vx: float = 0.0, vz: float = 0.0) -> Thing:
    """An object of the typical size of its class."""
    kind = kind_of(label)
    return Thing(label, kind.height_m, kind.width_m, x_m, z_m, vx, vz)


def scripted() -> tuple[Walk, ...]:
    """Fifteen walks with cameras at 0.9 to 1.9 m, pitched by up to 15 degrees either way. The
    engine knows the lens only."""
    person, cars = thing("person", 0.1, 10.0), (-2.6, 2.6)
    parked = tuple(thing("car", x, z) for x in cars for z in (5.0, 10.0, 15.0, 20.0))
    passing = tuple(
        thing("person", x, z, 0.0, -1.3) for x, z in ((1.5, 12.0), (-1.4, 20.0), (1.6, 28.0))
    )
    mover = replace(person, z_m=7.0, vx_m_s=1.2, starts_s=12.0, stops_s=16.0)
    # At 1.2 m/s the wearer reaches the crossing in 5 s, as the person does.
    crossing = thing("person", -3.0, 6.0, 0.6)
    walks = (
        Walk("person ahead", GLASSES, (person,), height_m=1.6),
        Walk("chair, looking down", GLASSES, (thing("chair", 0.0, 9.0),), pitch_deg=-10.0),
        Walk("pole, looking up", GLASSES, (thing("pole", -0.2, 9.0),), pitch_deg=10.0),
        Walk("cyclist comes", GLASSES, (thing("bicycle", 0.1, 34.0, 0.0, -4.0),), speed_m_s=1.2),
        Walk("person crosses", GLASSES, (crossing,), speed_m_s=1.2),
        Walk("dog, from up high", GLASSES, (thing("dog", 0.0, 9.0),), height_m=1.9, pitch_deg=-15),
        Walk("unlisted box", GLASSES, (Thing(BOX, 0.6, 0.6, 0.1, 9.0),), pitch_deg=-5.0),
        Walk("from a wheelchair", GLASSES, (person,), height_m=0.9, pitch_deg=15.0),
        Walk("in a hurry", GLASSES, (thing("bench", 0.0, 12.0),), speed_m_s=1.8),
        Walk("phone on the chest", PHONE, (person,), height_m=1.3, pitch_deg=-12.0),
        Walk("wide lens", WIDE, (person,), pitch_deg=-8.0),
        Walk("held up, then free", GLASSES, (mover,), duration_s=22.0, stops_s=3.2),
        Walk("parked cars", GLASSES, parked),
        Walk("people pass beside", GLASSES, passing),
        Walk("nothing there", GLASSES, ()),
    )
    return tuple(replace(walk, known_camera=walk.camera) for walk in walks)


def drawn(count: int, seed: int) -> tuple[Walk, ...]:
    """`count` random walks of 20 s. Each depends on its number and the seed only, not on `count`."""
    return tuple(_draw(random.Random(f"{seed}/{number}"), number) for number in range(count))


def _draw(dice: random.Random, number: int) -> Walk:
    known_camera: Camera | None
    camera: Camera = pinhole(640, 480, dice.uniform(62.0, 78.0))
    known_camera = camera if dice.random() < 0.5 else None
    if dice.random() < 1 / 6:
        camera = known_camera = WIDE
    things = tuple(_draw_thing(dice) for _ in range(dice.randint(5, 9)))
    return Walk(
        f"drawn {number}",
        camera,
        things,
        known_camera,
        duration_s=20.0,
        speed_m_s=dice.uniform(0.8, 1.6),
        stops_s=dice.choice((math.inf, dice.uniform(4.0, 16.0))),
        height_m=dice.uniform(0.9, 1.9),
        pitch_deg=dice.uniform(-15.0, 15.0),
    )


def _draw_thing(dice: random.Random) -> Thing:
    """Draw an object: four in ten in or near the path; sizes vary by the spread of their class."""
    label, _, moves = dice.choices(STREET, [weight for _, weight, _ in STREET])[0]
    kind = kind_of(label)
    x_m = dice.gauss(0.0, 0.4) if dice.random() < 0.4 else dice.uniform(-5.0, 5.0)
    vx, vz = 0.0, 0.0
    if moves and dice.random() < 0.6:
        speed = dice.uniform(2.5, 5.0) if label == "bicycle" else dice.uniform(0.6, 1.6)
        turn = dice.choice((0.0, math.pi, math.pi, dice.uniform(0.0, 2 * math.pi)))
        vx, vz = speed * math.sin(turn), speed * math.cos(turn)
    return Thing(
        label,
        kind.height_m * math.exp(dice.gauss(0.0, min(0.35, kind.spread))),
        kind.width_m * math.exp(dice.gauss(0.0, min(0.35, kind.width_spread))),
        x_m,
        dice.uniform(4.0, 45.0 if vz < 0 else 26.0),
        vx,
        vz,
    )
