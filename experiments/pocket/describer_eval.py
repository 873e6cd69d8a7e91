"""Evaluates an exported describer on `val`: CIDEr-D, invented objects, length. Trains nothing.

Uses the model as the engine does: the folder's processor, greedy decoding, sixteen tokens.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from engine.evaluation.cider import cider_d
from experiments.pocket.captions import objects
from experiments.pocket.data import LabelledImage, read_sets
from experiments.pocket.describer_model import library, load_model, load_padded
from experiments.pocket.mentions import KINDS, VOCABULARY, named, rate

MAX_NEW_TOKENS = 16
EXAMPLES = 20


def describe(folder: Path, prompt: str, pictures: Sequence[NDArray[np.uint8]]) -> list[str]:
    """Greedy sentences of the model in `folder`, one for each image, as in transformers'
    documentation.
    """
    processor: Any = library.AutoProcessor.from_pretrained(str(folder), local_files_only=True)
    model = load_model(folder).eval()
    content = [{"type": "image"}, {"type": "text", "text": prompt}]
    chat = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True
    )
    generated: list[str] = []
    for start in tqdm(range(0, len(pictures), 16), "describe", mininterval=5):
        some = [Image.fromarray(picture) for picture in pictures[start : start + 16]]
        inputs = processor(text=[chat] * len(some), images=some, return_tensors="pt")
        inputs.pop("token_type_ids", None)
        with torch.inference_mode():
            ids = model.generate(
                **inputs, max_new_tokens=MAX_NEW_TOKENS, do_sample=False, use_cache=True
            )
        answers = ids[:, inputs["input_ids"].shape[1] :]
        generated += [
            text.strip() for text in processor.batch_decode(answers, skip_special_tokens=True)
        ]
    return generated


def measure(
    records: Sequence[LabelledImage], generated: Sequence[str], seed: int
) -> dict[str, Any]:
    """All figures, over images that have captions."""
    ones = np.ones(len(generated))
    references = [record.captions for record in records]
    mentioned = [named(text) for text in generated]
    labelled = [{VOCABULARY.thing(k) for k in objects(r) if k in KINDS} for r in records]
    captioned = [set().union(*map(named, texts)) for texts in references]
    true = [a | b for a, b in zip(labelled, captioned, strict=True)]
    invented = np.array([len(m - t) for m, t in zip(mentioned, true, strict=True)], float)
    unlabelled = np.array([len(m - t) for m, t in zip(mentioned, labelled, strict=True)], float)
    found = np.array([len(m & t) for m, t in zip(mentioned, labelled, strict=True)], float)
    total = np.array([len(m) for m in mentioned], float)
    lengths = np.array([len(text.split()) for text in generated], float)
    ended = np.array([text.endswith(".") for text in generated], float)
    return {
        "cider_d": rate(np.array(cider_d(generated, references)), ones, seed),
        "hallucination_rate": rate(invented, total, seed),
        "hallucination_rate_boxes_only": rate(unlabelled, total, seed),
        "object_recall": rate(found, np.array([len(t) for t in labelled], float), seed),
        "mean_words": rate(lengths, ones, seed),
        "ends_within_16_tokens": rate(ended, ones, seed),
        "note": "CIDEr-D by engine/language/nouns.py, in [0, 10]; hallucination rate: objects named that "
        "neither boxes (human, or machine at the usual certainty) nor human captions name, over "
        "all objects named; boxes_only: that no box shows",
    }


def draw_sheet(path: Path, pictures: Sequence[NDArray[np.uint8]], generated: Sequence[str]) -> None:
    """Draw one sheet of images with their sentences, for inspection; not to be published."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, grid = pyplot.subplots(4, 5, figsize=(16, 14), layout="constrained")
    for axes, picture, text in zip(grid.flat, pictures, generated, strict=False):
        axes.imshow(picture)
        axes.set_title(fill(text, 34), fontsize=10)
        axes.axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=70)
    pyplot.close(figure)


def evaluate(root: Path, out: Path, work: Path, seed: int) -> None:
    """Evaluate `out/describer`; write figures and examples into `out/describer.json`.

    The examples with their images go to `work/examples.png`, since the images' licence forbids
    publishing them.
    """
    card = json.loads((out / "describer.json").read_text(encoding="utf-8"))
    records = [
        record
        for record in read_sets(root, ("captions_flickr8k", "boxes_coco"))
        if record.split == "val" and record.captions
    ]
    pictures = [load_padded(record) for record in records]
    generated = describe(out / "describer", card["prompt"], pictures)
    card["figures"] = measure(records, generated, seed)
    chosen = np.random.default_rng(seed).choice(len(records), EXAMPLES, replace=False)
    card["examples"] = [
        {"file": records[i].path.name, "said": generated[i], "references": records[i].captions}
        for i in chosen
    ]
    (out / "describer.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
    draw_sheet(work / "examples.png", [pictures[i] for i in chosen], [generated[i] for i in chosen])
    print(json.dumps(card["figures"], indent=1))
    print(f"{work / 'examples.png'}: these, with their pictures")
    print("\n".join(generated[i] for i in chosen))
