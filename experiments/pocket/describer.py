"""Trains, evaluates and exports the pocket describer (see `describer_model`). Run with `--help`.

The trunk is frozen and its features are computed once, so that two cores suffice. All sentences of a
picture are learnt in one pass: they share the picture and the prompt, and none sees another.
"""

import argparse
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from experiments.pocket import describer_eval
from experiments.pocket.captions import sentences
from experiments.pocket.data import Record, add_common_arguments, read_sets, require_data
from experiments.pocket.describer_model import (
    PROMPT,
    SIDE_PX,
    VIEWS,
    cached_features,
    make_model,
    make_processor,
    prefix_ids,
)
from experiments.pocket.scenes import resume, save

FLICKR = "captions_flickr8k"
TRAINED_ON = (
    FLICKR, "boxes_coco", "boxes_pedestrians", "boxes_motorcycles", "masks_camvid", "walks_sf",
    "scenes_houses", "scenes_miniplaces",
)  # fmt: skip
WALKER_SHARE = 0.25  # of each batch from a walker's own view and rooms; the rest from Flickr8k
ROOMS = ("scenes_houses", "scenes_miniplaces")
ROOM_WEIGHT = 0.15  # rooms are many and their sentences alike
LONGEST_TOKENS = 15  # with the end token, sixteen
BATCH = 16
PEAK_RATE = 1e-3
CHECKPOINT_S = 120.0


def training_set(root: Path) -> tuple[list[Record], list[tuple[str, ...]]]:
    """Records of the train split that have something to say, and what; in a fixed order."""
    pairs = [
        (record, said)
        for record in read_sets(root, TRAINED_ON)
        if record.split == "train" and (said := sentences(record))
    ]
    return [record for record, _ in pairs], [said for _, said in pairs]


def answers(processor: Any, said: Sequence[str]) -> list[list[int]]:
    """Token ids of each sentence, end token last; too long ones are left out where others remain."""
    end = processor.tokenizer.eos_token_id
    encoded = [[*ids, end] for ids in processor.tokenizer(list(said))["input_ids"]]
    short = [ids for ids in encoded if len(ids) <= LONGEST_TOKENS + 1]
    return short or [min(encoded, key=len)]


def loss_of(model: Any, prefix: list[int], shown: Tensor, said: list[list[list[int]]]) -> Tensor:
    """Mean cross-entropy of the answers' tokens; `shown` [B, 49, 1280], `said` ids by picture.

    A row is the shared prefix without its last token, then, for every answer, that last token and
    the answer without its end. Each such part sees the prefix and itself, at the positions that it
    would have alone.
    """
    shared = len(prefix) - 1
    longest = shared + max(sum(map(len, row)) for row in said)
    ids = torch.full((len(said), longest), prefix[-1])
    ids[:, :shared] = torch.tensor(prefix[:-1])
    target = torch.full((len(said), longest), -100)
    position = torch.arange(longest).repeat(len(said), 1)
    part = torch.full((len(said), longest), -1)
    part[:, :shared] = 0
    for row, several in enumerate(said):
        start = shared
        for number, answer in enumerate(several, 1):
            span = slice(start, start + len(answer))
            ids[row, span] = torch.tensor([prefix[-1], *answer[:-1]])
            target[row, span] = torch.tensor(answer)
            position[row, span] = torch.arange(shared, shared + len(answer))
            part[row, span] = number
            start += len(answer)
    embedded = model.get_input_embeddings()(ids)
    seen = model.model.multi_modal_projector(shown)
    picture = (ids == model.config.image_token_index).unsqueeze(-1)
    embedded = embedded.masked_scatter(picture, seen.to(embedded.dtype))
    visible = (part[:, None, :] == 0) | (part[:, None, :] == part[:, :, None])
    mask = (visible & torch.ones(longest, longest, dtype=torch.bool).tril()).unsqueeze(1)
    hidden = model.model.language_model(
        inputs_embeds=embedded, attention_mask=mask, position_ids=position, use_cache=False
    ).last_hidden_state
    wanted = target >= 0
    logits = model.lm_head(hidden[wanted]).float()
    return F.cross_entropy(logits, target[wanted], label_smoothing=0.05)


def row_weights(records: Sequence[Record]) -> np.ndarray:
    """Chance of each record to be drawn, [N]: see WALKER_SHARE and ROOM_WEIGHT."""
    flickr = np.array([record.set_name == FLICKR for record in records])
    rooms = np.array([record.set_name in ROOMS for record in records])
    weights = np.where(rooms, ROOM_WEIGHT, 1.0)
    weights[flickr] *= (1 - WALKER_SHARE) / weights[flickr].sum()
    weights[~flickr] *= WALKER_SHARE / weights[~flickr].sum()
    return weights


def rate_at(progress: float) -> float:
    """Learning rate after a share `progress` of the time: short warm-up, then half a cosine."""
    warm = min(1.0, (progress + 1e-3) / 0.03)
    return PEAK_RATE * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * progress)))


def train(args: argparse.Namespace) -> None:
    """Trains projector and decoder until `--minutes` are used up, resuming from the checkpoint."""
    records, texts = training_set(require_data(args.data))
    args.work.mkdir(parents=True, exist_ok=True)
    processor = make_processor([text for several in texts for text in several])
    model = make_model(processor, args.seed)
    shown = cached_features(records, args.work / "features.npy")
    said = [answers(processor, several) for several in texts]
    prefix, weights = prefix_ids(processor), row_weights(records)
    model.model.vision_tower.requires_grad_(False)
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, PEAK_RATE, weight_decay=0.05, betas=(0.9, 0.98))
    parts = {"model": model, "optimizer": optimizer}
    path = args.work / "checkpoint.pt"
    steps, seconds = resume(path, parts)
    rng = np.random.default_rng(args.seed + steps)
    started, saved = time.monotonic() - seconds, time.monotonic()
    bar = tqdm(total=round(args.minutes * 60), initial=round(seconds), unit="s", mininterval=5)
    model.train()
    while (progress := (time.monotonic() - started) / (60 * args.minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate_at(progress)
        rows = rng.choice(len(records), BATCH, p=weights)
        batch = np.stack([shown[rng.integers(VIEWS), row] for row in rows]).astype(np.float32)
        loss = loss_of(model, prefix, torch.from_numpy(batch), [said[row] for row in rows])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, 1.0)
        optimizer.step()
        steps += 1
        if steps % 20 == 0:
            bar.n = round(time.monotonic() - started)
            bar.set_postfix(steps=steps, loss=f"{loss.item():.3f}")
        if time.monotonic() - saved > CHECKPOINT_S:
            saved = time.monotonic()
            save(path, parts, steps, saved - started)
    save(path, parts, steps, time.monotonic() - started)


def export(args: argparse.Namespace) -> None:
    """Writes the checkpoint as a transformers folder in half precision, and its card."""
    records, texts = training_set(require_data(args.data))
    processor = make_processor([text for several in texts for text in several])
    model = make_model(processor, args.seed)
    steps, seconds = resume(args.work / "checkpoint.pt", {"model": model})
    if steps == 0:
        raise SystemExit(f"error: no checkpoint in {args.work}; run `train` first")
    model.half().save_pretrained(str(args.out / "describer"))
    processor.save_pretrained(str(args.out / "describer"))
    (args.out / "describer/model.safetensors").chmod(0o644)
    pictures = {name: sum(r.set_name == name for r in records) for name in TRAINED_ON}
    card = {
        "name": "fastvlm-pocket",
        "version": 0,
        "prompt": PROMPT,
        "image_size": SIDE_PX,
        "seed": args.seed,
        "data": {"pictures": pictures, "sentences": sum(len(several) for several in texts)},
        "training": {"steps": steps, "seconds": round(seconds), "batch": BATCH, "trunk": "frozen"},
        "command": f"python -m experiments.pocket.describer train --minutes {args.minutes:g} "
        f"--seed {args.seed}, then export, then evaluate",
    }
    (args.out / "describer.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Command line: train, export, evaluate."""
    parser = argparse.ArgumentParser(prog="experiments.pocket.describer", description=__doc__)
    parser.add_argument("action", choices=("train", "evaluate", "export"))
    add_common_arguments(parser, Path("work/describer_lite"), minutes=35)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.action == "train":
        train(args)
    elif args.action == "export":
        export(args)
    else:
        describer_eval.evaluate(require_data(args.data), args.out, args.seed)


if __name__ == "__main__":
    main()
