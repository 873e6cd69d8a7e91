"""Trains, evaluates and exports the pocket describer (see `describer_model`).

`python -m experiments.pocket.describer train|evaluate|export`. On two CPU cores the trunk stays
frozen and its features are computed once. On a GPU all layers are trained, and in the last part of
the time the model is tuned by a reward on its own sentences. All sentences of an image are trained
in one pass: they share the image and the prompt, and do not attend to one another.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from experiments.common import command_parser
from experiments.pocket import describer_eval
from experiments.pocket.captions import sentences
from experiments.pocket.data import (
    LabelledImage,
    add_common_arguments,
    chosen_device,
    read_sets,
    require_data,
)
from experiments.pocket.describer_model import (
    PROMPT,
    SIDE_PX,
    CachedTrunk,
    TrainableTrunk,
    embedded,
    library,
    load_model,
    make_model,
    make_processor,
    prefix_ids,
)
from experiments.pocket.describer_reward import DRAWS, Reward, sample
from experiments.pocket.scenes import resume, save
from models.devices import has_bf16

FLICKR = "captions_flickr8k"
TRAINED_ON = (
    FLICKR, "boxes_coco", "boxes_pedestrians", "boxes_motorcycles", "masks_camvid", "walks_sf",
    "scenes_houses", "scenes_miniplaces",
)  # fmt: skip
WALKER_SHARE = 0.25  # of each batch from walkers' views and rooms; the rest from Flickr8k
ROOMS = ("scenes_houses", "scenes_miniplaces")
ROOM_WEIGHT = 0.15  # there are many rooms, with similar sentences
LONGEST_TOKENS = 15  # sixteen with the end token
PEAK_RATE, TUNING_RATE = 1e-3, 2e-4
TRUNK_SHARE = 0.1  # of the decoder's learning rate
CAPTIONS_SHARE = 0.2  # weight of the captions' loss while tuning, to keep rooms and streets
CHECKPOINT_S = 120.0


def training_set(root: Path) -> tuple[list[LabelledImage], list[tuple[str, ...]]]:
    """The records of the train split that have sentences, and the sentences; in a fixed order."""
    pairs = [
        (record, texts)
        for record in read_sets(root, TRAINED_ON)
        if record.split == "train" and (texts := sentences(record))
    ]
    return [record for record, _ in pairs], [texts for _, texts in pairs]


def answers(processor: Any, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each sentence with the end token. Long ones are dropped if others remain."""
    end = processor.tokenizer.eos_token_id
    encoded = [[*ids, end] for ids in processor.tokenizer(list(texts))["input_ids"]]
    short = [ids for ids in encoded if len(ids) <= LONGEST_TOKENS + 1]
    return short or [min(encoded, key=len)]


def loss_of(
    model: Any,
    prefix: list[int],
    features: Tensor,
    answer_ids: Sequence[Sequence[list[int]]],
    answer_weights: Sequence[Sequence[float]] | None = None,
) -> Tensor:
    """Mean cross-entropy of the answers' tokens; `features` [B, 49, 1280], `answer_ids` token ids by
    image.

    With `answer_weights` each answer's tokens are weighted and labels are not smoothed.

    A row is the shared prefix without its last token and then, for every answer, that last token
    and the answer without its end token. Each answer attends to the prefix and itself, at the
    positions that it would have alone.
    """
    shared = len(prefix) - 1
    longest = shared + max(sum(map(len, row)) for row in answer_ids)
    ids = torch.full((len(answer_ids), longest), prefix[-1])
    ids[:, :shared] = torch.tensor(prefix[:-1])
    target = torch.full((len(answer_ids), longest), -100)
    position = torch.arange(longest).repeat(len(answer_ids), 1)
    part = torch.full((len(answer_ids), longest), -1)
    part[:, :shared] = 0
    weight = torch.ones(len(answer_ids), longest)
    for row, several in enumerate(answer_ids):
        start = shared
        for number, answer in enumerate(several, 1):
            span = slice(start, start + len(answer))
            ids[row, span] = torch.tensor([prefix[-1], *answer[:-1]])
            target[row, span] = torch.tensor(answer)
            position[row, span] = torch.arange(shared, shared + len(answer))
            part[row, span] = number
            if answer_weights is not None:
                weight[row, span] = answer_weights[row][number - 1]
            start += len(answer)
    ids, target, position, part, weight = (
        tensor.to(features.device) for tensor in (ids, target, position, part, weight)
    )
    visible = (part[:, None, :] == 0) | (part[:, None, :] == part[:, :, None])
    causal = torch.ones(longest, longest, dtype=torch.bool, device=features.device).tril()
    hidden = model.model.language_model(
        inputs_embeds=embedded(model, ids, features),
        attention_mask=(visible & causal).unsqueeze(1),
        position_ids=position,
        use_cache=False,
    ).last_hidden_state
    wanted = target >= 0
    logits = model.lm_head(hidden[wanted]).float()
    smooth = 0.05 if answer_weights is None else 0.0
    each = F.cross_entropy(logits, target[wanted], label_smoothing=smooth, reduction="none")
    return (each * weight[wanted]).mean()


def tuning_loss(
    model: Any, prefix: list[int], features: Tensor, rows: np.ndarray, reward: Reward, words: Any
) -> tuple[Tensor, float]:
    """The self-critical loss of the images `rows` with these `features`, and the mean reward.
    `words` is the tokenizer.
    """
    end = words.eos_token_id
    drawn = sample(model, prefix, features, LONGEST_TOKENS + 1, end).cpu().tolist()
    answers = [ids[: ids.index(end) + 1] if end in ids else ids for ids in drawn]
    texts = words.batch_decode(drawn, skip_special_tokens=True)
    whole = [text if end in ids else None for text, ids in zip(texts, drawn, strict=True)]
    pictures = [int(row) for row in np.repeat(rows, DRAWS)]
    rewards = np.array(reward(list(zip(pictures, whole, strict=True)))).reshape(-1, DRAWS)
    others = (rewards.sum(1, keepdims=True) - rewards) / (DRAWS - 1)
    answer_ids = [answers[at : at + DRAWS] for at in range(0, len(answers), DRAWS)]
    return loss_of(model, prefix, features, answer_ids, (rewards - others).tolist()), float(
        rewards.mean()
    )


def row_weights(records: Sequence[LabelledImage]) -> np.ndarray:
    """The probability of each record to be drawn, [N]: see WALKER_SHARE and ROOM_WEIGHT."""
    flickr = np.array([record.set_name == FLICKR for record in records])
    rooms = np.array([record.set_name in ROOMS for record in records])
    weights = np.where(rooms, ROOM_WEIGHT, 1.0)
    weights[flickr] *= (1 - WALKER_SHARE) / weights[flickr].sum()
    weights[~flickr] *= WALKER_SHARE / weights[~flickr].sum()
    return weights


def rate_at(progress: float, tuning_from: float) -> float:
    """The learning rate after a share `progress` of the time: a short warm-up, half a cosine until
    tuning, and another, lower one.
    """
    if progress >= tuning_from:
        done = (progress - tuning_from) / (1 - tuning_from)
        return TUNING_RATE * (0.05 + 0.475 * (1 + math.cos(math.pi * done)))
    done = progress / tuning_from
    warm = min(1.0, (done + 1e-3) / 0.03)
    return PEAK_RATE * warm * (0.02 + 0.49 * (1 + math.cos(math.pi * done)))


def make_optimizer(model: Any) -> torch.optim.Optimizer:
    """AdamW over the trainable parameters; the trunk's group at TRUNK_SHARE of the rate."""
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    trunk = [p for name, p in learning.items() if name.startswith("model.vision_tower.")]
    rest = [p for name, p in learning.items() if not name.startswith("model.vision_tower.")]
    groups = [{"params": trunk, "share": TRUNK_SHARE}, {"params": rest, "share": 1}]
    return torch.optim.AdamW(groups, PEAK_RATE, weight_decay=0.05, betas=(0.9, 0.98))


def begin(args: argparse.Namespace, texts: Sequence[Sequence[str]]) -> tuple[Any, Any]:
    """Processor and model to train: those in the folder `--start`, else new ones."""
    if args.start:
        words = library.AutoProcessor.from_pretrained(str(args.start), local_files_only=True)
        return words, load_model(args.start)
    processor = make_processor([text for several in texts for text in several])
    return processor, make_model(processor, args.seed)


def train(args: argparse.Namespace) -> None:
    """Train for `--minutes`, resuming from the checkpoint.

    A CPU trains projector and decoder on the captions. A GPU trains the trunk too, and tunes by
    `describer_reward` from `--tune-from` on.
    """
    records, texts = training_set(require_data(args.data))
    args.work.mkdir(parents=True, exist_ok=True)
    processor, model = begin(args, texts)
    model.to(args.device)
    answer_ids = [answers(processor, several) for several in texts]
    prefix, weights = prefix_ids(processor), row_weights(records)
    tower = model.model.vision_tower
    on_cpu = args.device == "cpu"
    if on_cpu:
        tower.requires_grad_(False)
    encode = (
        CachedTrunk(model, records, args.work)
        if on_cpu
        else TrainableTrunk(model, records, args.device)
    )
    bf16 = not on_cpu or has_bf16()
    optimizer = make_optimizer(model)
    parts = {"model": model, "optimizer": optimizer}
    path = args.work / "checkpoint.pt"
    steps, seconds = resume(path, parts)
    rng = np.random.default_rng(args.seed + steps)
    captioned = np.flatnonzero([bool(record.captions) for record in records])
    reward = Reward(records, max(1, min(6, (os.cpu_count() or 1) - 1)))
    started, saved = time.monotonic() - seconds, time.monotonic()
    bar = tqdm(total=round(args.minutes * 60), initial=round(seconds), unit="s", mininterval=5)
    if args.tune_from < 1:
        reward([(0, None)])  # starts the helper processes
    model.train()
    tower.eval()  # the norms keep ImageNet's statistics
    with reward:
        while (progress := (time.monotonic() - started) / (60 * args.minutes)) < 1:
            for group in optimizer.param_groups:
                group["lr"] = group["share"] * rate_at(progress, args.tune_from)
            rows = rng.choice(len(records), args.batch, p=weights)
            mean_reward = 0.0
            with torch.autocast(args.device, torch.bfloat16, enabled=bf16):
                loss = loss_of(model, prefix, encode(rows), [answer_ids[row] for row in rows])
                if progress >= args.tune_from:
                    rows = rng.choice(captioned, args.batch)
                    tuned, mean_reward = tuning_loss(
                        model, prefix, encode(rows), rows, reward, processor.tokenizer
                    )
                    loss = tuned + CAPTIONS_SHARE * loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            steps += 1
            if steps % 20 == 0:
                bar.n = round(time.monotonic() - started)
                bar.set_postfix(steps=steps, loss=f"{loss.item():.3f}", reward=f"{mean_reward:.3f}")
            if time.monotonic() - saved > CHECKPOINT_S:
                saved = time.monotonic()
                save(path, parts, steps, saved - started)
    save(path, parts, steps, time.monotonic() - started)


def export(args: argparse.Namespace) -> None:
    """Write the checkpoint as a transformers folder in half precision, and its card."""
    records, texts = training_set(require_data(args.data))
    # A new processor, since a loaded one would store the path from which it was loaded.
    processor = make_processor([text for several in texts for text in several])
    model = load_model(args.start) if args.start else make_model(processor, args.seed)
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
        "training": {"steps": steps, "seconds": round(seconds), "batch": args.batch},
        "command": f"python -m experiments.pocket.describer train --minutes {args.minutes:g} "
        f"--batch {args.batch} --tune-from {args.tune_from:g} --seed {args.seed}"
        f"{' --start DIR' if args.start else ''}, then export, then evaluate",
    }
    if args.start:
        before = json.loads((args.start.parent / "describer.json").read_text(encoding="utf-8"))
        card["began_with"] = {key: before[key] for key in ("training", "command")}
    (args.out / "describer.json").write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = command_parser("experiments.pocket.describer", __doc__)
    parser.add_argument("action", choices=("train", "evaluate", "export"))
    add_common_arguments(parser, Path("work/describer_lite"), minutes=35)
    parser.add_argument("--batch", type=int, default=16, help="images per step; 64 on a large GPU")
    parser.add_argument("--start", type=Path, help="begin with this exported describer's weights")
    parser.add_argument(
        "--tune-from", type=float, default=1.0, help="share of the time after which it is tuned"
    )
    args = parser.parse_args()
    args.device = chosen_device(args.device)
    torch.set_num_threads(args.threads)
    if args.action == "train":
        train(args)
    elif args.action == "export":
        export(args)
    else:
        describer_eval.evaluate(require_data(args.data), args.out, args.work, args.seed)


if __name__ == "__main__":
    main()
