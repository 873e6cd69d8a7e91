"""How much grounding helps: invented objects, recall and sides in the describer's sentences.

`python -m experiments.quality.grounding` describes Flickr8k's `val` images, on which nothing was
trained and no threshold was chosen. It also words the quick answer, and checks every clause against
the detections and the scene. Needs the labelled sets (`--data`).

A class counts as true if machine boxes (at the usual confidence) or any of five human captions
name it. Rates are over (image, class) for the classes that the boxes cover, with 95 % bootstrap
intervals over images:
    hallucination  of the classes stated as a fact, the share that is not true
    recall         of the classes boxed, the share that is named; `stated` leaves out hedged ones
    hedges_right   of the classes hedged, the share that is indeed not true
    sides          "A dog on the left.", with a random side: the share of sides that match the
                   largest box, before and after grounding
"""

import argparse
import random
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from engine.answering.grounding import Evidence, Grounder
from engine.core.camera import Frame
from engine.core.glance import Box, Glance, Side
from engine.core.preferences import Unsupported
from engine.language.wording import Words
from engine.perception.camera import pinhole
from engine.perception.geometry import measure_box
from engine.perception.localize import Localizer
from experiments.common import (
    add_data,
    add_pack,
    add_seed,
    command_parser,
    hardware,
    hardware_line,
    last_line,
    table_of,
)
from experiments.pocket.captions import confident_boxes, objects
from experiments.pocket.data import LabelledImage, read_set, require_data
from experiments.pocket.mentions import KINDS, VOCABULARY, named, rate
from models.describer import open_describer
from models.detector import open_detector
from models.scenes import open_scenes

HFOV_DEG = 70.0  # the engine's own default
HEIGHT_PX = 224  # as stored
SQUASHED_ASPECT = 4 / 3  # assumed where the true aspect ratio is unknown
POLICIES: tuple[Unsupported, ...] = ("say", "hedge", "drop")
SIDES: tuple[Side, ...] = ("left", "ahead", "right")
SIDE_PHRASES = {"left": "on the left", "ahead": "ahead", "right": "on the right"}


@dataclass(frozen=True, slots=True)
class JudgedPicture:
    """One image: its labels, the engine's detections and the answers about it."""

    boxed: frozenset[str]
    true: frozenset[str]
    sides: dict[str, Side]  # of the largest box of each class
    evidence: Evidence
    quick: str
    clauses: tuple[str, ...]


def picture(record: LabelledImage) -> Frame:
    """The image at its true aspect ratio."""
    aspect = record.true_aspect or SQUASHED_ASPECT
    with Image.open(record.path) as image:
        size = (round(HEIGHT_PX * aspect), HEIGHT_PX)
        return Frame(
            np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC)), 0.0, 0
        )


def sides(record: LabelledImage, frame: Frame) -> dict[str, Side]:
    scale = frame.width / record.width
    camera = pinhole(frame.width, frame.height, HFOV_DEG)
    largest: dict[str, Box] = {}
    for box in confident_boxes(record.pseudo_boxes):
        kind = VOCABULARY.thing(box.label)
        whole = Box(box.x * scale, box.y, (box.x + box.width) * scale, box.y + box.height)
        if kind not in largest or whole.area > largest[kind].area:
            largest[kind] = whole
    return {kind: measure_box(box, camera).side for kind, box in largest.items()}


def run_models(
    records: Sequence[LabelledImage], pack: str
) -> tuple[list[JudgedPicture], tuple[str, ...]]:
    """Run the engine's models on `records`; returns the images and the detector's labels."""
    detector, scenes, describer = open_detector(pack), open_scenes(pack), open_describer(pack)
    localizer, words = Localizer(HFOV_DEG), Words("en")
    found = []
    for record in tqdm(records, "pictures", mininterval=5):
        frame = picture(record)
        detector.reset()
        localizer.reset()
        obstacles = localizer.localize(frame, detector.detect(frame))
        scene = scenes.classify(frame)
        boxed = frozenset(VOCABULARY.thing(kind) for kind in objects(record) if kind in KINDS)
        captioned: set[str] = set().union(*map(named, record.captions))
        found.append(
            JudgedPicture(
                boxed,
                boxed | captioned,
                sides(record, frame),
                Evidence(obstacles, scene),
                words.describe(Glance(frame, obstacles, scene)),
                tuple(describer.describe(frame)),
            )
        )
    return found, detector.labels


def shares(parts: Iterable[float], wholes: Iterable[float], seed: int) -> dict[str, Any]:
    """Like `rate`, with the number of cases; the value is None if there are none."""
    whole = np.array(list(wholes), float)
    if not whole.sum():
        return {"value": None, "interval95": None, "of": 0}
    figures = rate(np.array(list(parts), float), whole, seed)
    return {"value": figures["value"], "interval95": figures["interval95"], "of": int(whole.sum())}


def measure(
    found: Sequence[JudgedPicture], grounder: Grounder, quick: bool, seed: int
) -> dict[str, Any]:
    """The figures of the describer's words under one policy; with `quick`, of both beats."""
    stated: list[set[str]] = []
    hedged: list[set[str]] = []
    silent = 0
    for seen in found:
        checked = [grounder.check(clause, seen.evidence) for clause in seen.clauses]
        texts = [item.text for item in checked if item.text]
        silent += not texts
        nouns = named(" ".join(texts))
        unsure = {noun for item in checked for noun in item.unsupported} & nouns
        unsure = set() if grounder.how == "say" else unsure
        facts = nouns - unsure
        if quick:
            facts |= named(seen.quick)
        stated.append(facts)
        hedged.append(unsure - facts)
    pairs = list(zip(found, stated, hedged, strict=True))
    return {
        "hallucination_rate": shares(
            (len(s - f.true) for f, s, _ in pairs), map(len, stated), seed
        ),
        "object_recall": shares(
            (len((s | h) & f.boxed) for f, s, h in pairs), (len(f.boxed) for f in found), seed
        ),
        "object_recall_stated": shares(
            (len(s & f.boxed) for f, s, _ in pairs), (len(f.boxed) for f in found), seed
        ),
        "hedges_right": shares((len(h - f.true) for f, _, h in pairs), map(len, hedged), seed),
        "silent": silent,
    }


def measure_sides(found: Sequence[JudgedPicture], grounder: Grounder, seed: int) -> dict[str, Any]:
    """The share of correct sides, for sides drawn at random, before and after grounding."""
    draw = random.Random(seed)
    before, after, seen_too = [], [], []
    for seen in found:
        for kind, side in seen.sides.items():
            stated_side = draw.choice(SIDES)
            text = grounder.check(f"A {kind} {SIDE_PHRASES[stated_side]}.", seen.evidence).text
            sides_said = [m.side for m in VOCABULARY.mentions(text) if m.thing == kind]
            before.append(stated_side == side)
            after.append(bool(sides_said) and sides_said[0] == side)
            seen_too.append(any(grounder.is_a(o.label, kind) for o in seen.evidence.obstacles))
    ones = [1.0] * len(before)
    both = [a for a, too in zip(after, seen_too, strict=True) if too]
    return {
        "before": shares(map(float, before), ones, seed),
        "after": shares(map(float, after), ones, seed),
        "after_where_detected": shares(map(float, both), [1.0] * len(both), seed),
    }


def cell(share: dict[str, Any]) -> str:
    if share["value"] is None:
        return "–"
    low, high = share["interval95"]
    return f"{share['value']:.3f} ({low:.3f}–{high:.3f})"


def table(figures: dict[str, dict[str, Any]]) -> Table:
    names = ("hallucination_rate", "object_recall", "object_recall_stated", "hedges_right")
    title = "the describer's words, by what happens to unsupported nouns"
    shown = table_of(title, "", *names, "silent")
    for policy, row in figures.items():
        shown.add_row(policy, *(cell(row[name]) for name in names), str(row["silent"]))
    return shown


def report(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure and print everything; return what the last line says."""
    card = hardware()
    records = [
        r for r in read_set(require_data(args.data), "captions_flickr8k") if r.split == "val"
    ]
    if args.pictures:
        records = random.Random(args.seed).sample(records, min(args.pictures, len(records)))
    begin_s = time.monotonic()
    found, labels = run_models(records, args.pack)
    grounders = {policy: Grounder(labels, "en", policy) for policy in POLICIES}
    figures: dict[str, dict[str, Any]] = {}
    figures |= {policy: measure(found, g, False, args.seed) for policy, g in grounders.items()}
    figures |= {
        f"both beats, {policy}": measure(found, grounders[policy], True, args.seed)
        for policy in POLICIES
    }
    console.print(table(figures))
    sided = measure_sides(found, grounders["hedge"], args.seed)
    for name, share in sided.items():
        console.print(f"sides {name}: {cell(share)} of {share['of']}")
    return card | {
        "pack": args.pack,
        "pictures": len(found),
        "seed": args.seed,
        "seconds": round(time.monotonic() - begin_s),
        "answers": figures,
        "sides": sided,
    }


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.quality.grounding", __doc__)
    add_data(parser)
    add_pack(parser)
    add_seed(parser)
    parser.add_argument("--pictures", type=int, default=500, help="drawn from val; 0 takes all")
    args = parser.parse_args(arguments)
    console = Console(highlight=False)
    console.print(hardware_line())
    return last_line("experiments.quality.grounding", lambda: report(args, console))


if __name__ == "__main__":
    sys.exit(main())
