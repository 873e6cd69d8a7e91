"""Stored outputs of a made-up street, for tests to change."""

from dataclasses import replace
from pathlib import Path

from engine.core.glance import Box, ImageStatistics, Truth
from engine.core.report import ModelCard
from engine.evaluation import stored_outputs as records
from engine.evaluation.quality import Counts, QualityParts
from engine.evaluation.stored_outputs import Header, Record, StoredAnswer
from tests.fakes.glances import make_obstacle, make_scene

PICTURE = ImageStatistics(blur=0.3, exposure=0.5, contrast=0.2, edges=0.1, strokes=0.0)
CARD = ModelCard("tiny", "pocket", "cpu", "torch", "fp32")
HEADER = Header(
    records.VERSION, "dataset made-up", "en", "meters", "sides", 70.0, ("person", "car"),
    {"detector": CARD, "scenes": CARD, "describer": CARD},
)  # fmt: skip
PERSON = Box(100.0, 100.0, 200.0, 400.0)


def make_parts(
    recalled: int = 1, hazards_named: int = 1, caption: float | None = 0.2, invented: int = 0
) -> QualityParts:
    """The quality of an answer about an image with one near person."""
    counts = Counts(
        labelled=1, recalled=recalled, named=recalled + invented, unlabelled=invented,
        invented=invented, sided=0, sided_right=0, hazards=1, hazards_named=hazards_named, words=8,
    )  # fmt: skip
    return QualityParts(counts, caption)


def make_record(seq: int = 0, people: int = 1, **changes: object) -> Record:
    """An image of 640 x 480 pixels with this many people, whose describer takes 90 ms longer."""
    record = Record(
        seq=seq,
        name=f"{seq}.jpg",
        time_s=seq / 15,
        width=640,
        height=480,
        obstacles=tuple(make_obstacle("person", box=PERSON, track=i) for i in range(people)),
        scene=make_scene(),
        picture=PICTURE,
        detect_ms=20.0,
        locate_ms=1.0,
        classify_ms=10.0,
        route_ms=2.0,
        quick=StoredAnswer(
            "Person ahead, three meters. You are on a street.", 1.0, 1.0, 1.0, 15.0, make_parts()
        ),
        full=StoredAnswer(
            "A man is walking on a street.", 60.0, 90.0, 95.0, 16.0, make_parts(caption=0.8)
        ),
        truth=Truth((("person", PERSON),), "street", ("A man is walking .", "A man on a road .")),
    )
    return replace(record, **changes)  # type: ignore[arg-type]


def save_recording(path: Path, kept: list[Record], header: Header = HEADER) -> Path:
    """Write a complete recording; return its path."""
    writer = records.Writer(path)
    writer.begin(header)
    for record in kept:
        writer.add(record)
    writer.finish([(record.quick.parts, record.full.parts) for record in kept])
    return path
