"""Which prompt gives the best descriptions: every prompt of `templates/en/prompts` on the same
images.

`python -m experiments.quality.prompts` asks the pack's describer about Flickr8k's `val` images
(`--data`) with each prompt, with the one that the scene chooses (`conf/prompts/walker.yaml`) and
with the model's own. The pocket describer was trained on a single prompt; the hub pack's (`--pack
hub`) follows others. What counts as true is defined in `experiments.quality.grounding`.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from tqdm import tqdm

from engine.app.command_line import CONF
from engine.core.errors import DescriberFailed
from engine.core.glance import Glance
from engine.core.ports import Describer
from engine.evaluation.cider import cider_d
from engine.language.pack import prompts
from engine.language.wording import Words
from engine.perception.localize import Localizer
from experiments.common import (
    add_data,
    add_pack,
    add_seed,
    at_least_one,
    command_parser,
    hardware,
    hardware_line,
    last_line,
    table_of,
)
from experiments.pocket.captions import objects
from experiments.pocket.data import LabelledImage, read_set, require_data
from experiments.pocket.mentions import KINDS, VOCABULARY, named, rate
from experiments.quality.grounding import HFOV_DEG, cell, picture, shares
from models.describer import open_describer
from models.detector import open_detector
from models.scenes import open_scenes

BY_SCENE = "by scene"
MODEL_PROMPT = "the model's own"

PromptOf = Callable[[Glance], str | None]


def by_scene(words: Words) -> PromptOf:
    """The prompts that `conf/prompts/walker.yaml` assigns to scenes."""
    lines = (CONF / "prompts" / "walker.yaml").read_text(encoding="utf-8").splitlines()
    pairs = [line.split(": ", 1) for line in lines if line and not line.startswith("#")]
    names = {scene: name.strip() for scene, name in pairs}

    def ask(glance: Glance) -> str:
        scene = "" if glance.scene is None else glance.scene.label
        return words.prompt(names.get(scene, names["default"]), glance)

    return ask


def all_prompts(words: Words) -> dict[str, PromptOf]:
    prompt_of: dict[str, PromptOf] = {MODEL_PROMPT: lambda glance: None, BY_SCENE: by_scene(words)}
    for name in prompts("en"):
        prompt_of[name] = lambda glance, name=name: words.prompt(name, glance)  # type: ignore[misc]
    return prompt_of


def glances(records: Sequence[LabelledImage], pack: str) -> list[Glance]:
    """What the quick tier sees in each image; prompts may use it."""
    detector, scenes, localizer = open_detector(pack), open_scenes(pack), Localizer(HFOV_DEG)
    found = []
    for record in records:
        frame = picture(record)
        detector.reset()
        localizer.reset()
        obstacles = localizer.localize(frame, detector.detect(frame))
        found.append(Glance(frame, obstacles, scenes.classify(frame)))
    return found


def measure(
    records: Sequence[LabelledImage], descriptions: Sequence[str], seconds: float, seed: int
) -> dict[str, Any]:
    boxed = [{VOCABULARY.thing(kind) for kind in objects(r) if kind in KINDS} for r in records]
    true = [b | set().union(*map(named, r.captions)) for b, r in zip(boxed, records, strict=True)]
    names = [named(text) for text in descriptions]
    pairs = list(zip(names, true, boxed, strict=True))
    words = [len(text.split()) for text in descriptions]
    sided = [any(m.side for m in VOCABULARY.mentions(text)) for text in descriptions]
    ones = np.ones(len(descriptions))
    cider = rate(np.array(cider_d(descriptions, [r.captions for r in records])), ones, seed)
    return {
        "cider_d": {"value": cider["value"], "interval95": cider["interval95"]},
        "hallucination_rate": shares((len(n - t) for n, t, _ in pairs), map(len, names), seed),
        "object_recall": shares((len(n & b) for n, _, b in pairs), map(len, boxed), seed),
        "silent": sum(not text for text in descriptions),
        "tells_a_side": round(sum(sided) / len(descriptions), 4),
        "mean_words": round(sum(words) / len(descriptions), 2),
        "ms_each": round(1000 * seconds / len(descriptions), 1),
        "example": descriptions[0],
    }


def describe(describer: Describer, glance: Glance, prompt: str | None) -> str:
    """The description; an empty string if the describer gives no usable text."""
    try:
        return " ".join(describer.describe(glance.frame, None, prompt))
    except DescriberFailed:
        return ""


def report(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Try every prompt and print the table; return what the last line says."""
    card = hardware()
    records = [
        r for r in read_set(require_data(args.data), "captions_flickr8k") if r.split == "val"
    ]
    records = random.Random(args.seed).sample(records, min(args.pictures, len(records)))
    seen = glances(records, args.pack)
    describer = open_describer(args.pack, max_new_tokens=args.max_new_tokens)
    console.print(f"{describer.card.name}, {describer.card.pack} pack")
    figures: dict[str, dict[str, Any]] = {}
    for name, ask in all_prompts(Words("en")).items():
        begin_s = time.monotonic()
        descriptions = [describe(describer, g, ask(g)) for g in tqdm(seen, name, mininterval=5)]
        figures[name] = measure(records, descriptions, time.monotonic() - begin_s, args.seed)
    columns = ("cider_d", "hallucination_rate", "object_recall")
    shown = table_of(f"{len(records)} pictures", "prompt", *columns, "sides", "silent", "words")
    for name, row in figures.items():
        cells = [cell(row[column]) for column in columns]
        shown.add_row(
            name,
            *cells,
            f"{row['tells_a_side']:.2f}",
            str(row["silent"]),
            f"{row['mean_words']:.1f}",
        )
    console.print(shown)
    for name, row in figures.items():
        console.print(f"{name}: {row['example']}")
    return card | {
        "model": describer.card.name,
        "pack": describer.card.pack,
        "pictures": len(records),
        "seed": args.seed,
        "prompts": figures,
    }


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.quality.prompts", __doc__)
    add_data(parser)
    add_pack(parser)
    add_seed(parser)
    parser.add_argument("--pictures", type=at_least_one, default=150, help="drawn from val")
    parser.add_argument("--max-new-tokens", type=at_least_one, default=16)
    args = parser.parse_args(arguments)
    console = Console(highlight=False)
    console.print(hardware_line())
    return last_line("experiments.quality.prompts", lambda: report(args, console))


if __name__ == "__main__":
    sys.exit(main())
