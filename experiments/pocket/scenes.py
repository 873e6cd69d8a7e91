"""Trains, evaluates and exports the pocket scene classifier, a FastViT-T8.

`python -m experiments.pocket.scenes train|export|refit|evaluate`, in this order. The student learns
from scene labels and from EfficientNet-Lite0, which has processed each whole image once: its
features, and the scene probabilities of a small head on them. Such a head on the detector's trunk
is shipped as the ensemble's second network (`experiments.pocket.scene_ensemble`).
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from timm.utils.model import reparameterize_model
from torch import Tensor, nn
from tqdm import tqdm

from experiments.common import command_parser
from experiments.pocket import scene_ensemble, scene_report
from experiments.pocket.data import add_common_arguments, chosen_device, require_data
from experiments.pocket.scene_data import CLASSES, STORED_PX, SceneData, load
from experiments.pocket.teacher import WIDTH
from experiments.pocket.views import random_views
from models.torch.scenes import build_head

ARCHITECTURE = "fastvit_t8"
WEIGHTS = "scenes.safetensors"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# (share of the time until which, pixels per side): small images first, which are faster; the
# shipped size last.
SIZES = ((0.4, 96), (1.0, 128))
LAST_PX = SIZES[-1][1]
PEAK_RATE = 1.5e-3
UNLABELLED_SHARE = 0.15
CHECKPOINT_S = 120.0
HEAD_RATE, HEAD_STEPS = 1e-3, 2000


class Student(nn.Module):
    """FastViT-T8 with a scene head and a projection onto the teacher's features."""

    def __init__(self) -> None:
        super().__init__()
        self.net: Any = timm.create_model(ARCHITECTURE, num_classes=len(CLASSES))
        self.project = nn.Linear(self.net.num_features, WIDTH)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Map normalised [B, 3, S, S] to class logits [B, C] and teacher-like features [B, 1280]."""
        pooled = self.net.forward_head(self.net.forward_features(pixels), pre_logits=True)
        return self.net.get_classifier()(pooled), self.project(pooled)


def normalise(pixels: Tensor) -> Tensor:
    """Scale [B, 3, S, S] from 0-1 to the network's input."""
    mean, std = (torch.tensor(v, device=pixels.device).view(1, 3, 1, 1) for v in (MEAN, STD))
    return (pixels - mean) / std


def sampler(data: SceneData, batch: int, seed: int) -> Callable[[], np.ndarray]:
    """A function that draws training rows: rare scenes more often, some images without a label."""
    rng = np.random.default_rng(seed)
    labelled = np.flatnonzero(data.train & (data.kind >= 0))
    unlabelled = np.flatnonzero(data.train & (data.kind < 0))
    counts = np.bincount(data.kind[labelled], minlength=len(CLASSES))
    weights = counts[data.kind[labelled]] ** -0.5
    weights /= weights.sum()
    without = round(batch * UNLABELLED_SHARE)

    def draw() -> np.ndarray:
        return np.concatenate(
            [rng.choice(labelled, batch - without, p=weights), rng.choice(unlabelled, without)]
        )

    return draw


def losses(outputs: tuple[Tensor, Tensor], kind: Tensor, soft: Tensor, feature: Tensor) -> Tensor:
    """The sum of label, soft-label and feature losses. `soft` are logits [B, C], `kind` [B]."""
    logits, projected = outputs
    label = F.cross_entropy(logits, kind, ignore_index=-1, label_smoothing=0.1)
    student, teacher = F.log_softmax(logits / 2, 1), F.softmax(soft / 2, 1)
    distil = F.kl_div(student, teacher, reduction="batchmean") * 4
    alike = 1 - F.cosine_similarity(projected, feature).mean()
    return label + distil + 2 * alike


def rate_at(progress: float) -> float:
    """The learning rate after a share `progress` of the time: a short warm-up, then half a cosine."""
    if progress < 0.03:
        return PEAK_RATE * max(progress / 0.03, 0.01)
    return PEAK_RATE * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def teacher_outputs(data: SceneData, args: argparse.Namespace) -> tuple[Tensor, Tensor]:
    """EfficientNet-Lite0's features [N, 1280] of every image, and the class logits [N, C] of a
    head on them that was fitted to the training labels; both on the device.
    """
    maps = scene_ensemble.trunk_maps(
        scene_ensemble.imagenet_trunk(), data, np.arange(len(data.kind)), args
    )
    rows = np.flatnonzero(data.train & (data.kind >= 0))
    kinds = torch.from_numpy(data.kind[rows])
    head = scene_ensemble.fit(maps[:, rows], kinds, args).to(args.device)
    last = scene_ensemble.imagenet_head()[:4].to(args.device)
    with torch.inference_mode():
        parts = [some.to(args.device).float() for some in maps[0].split(1024)]
        features, logits = (torch.cat([net(p) for p in parts]).clone() for net in (last, head))
    return features, logits


def train(args: argparse.Namespace) -> None:
    """Train for `--minutes`, resuming from the last checkpoint."""
    data = load(require_data(args.data), args.work)
    torch.manual_seed(args.seed)
    features, soft = teacher_outputs(data, args)
    student = Student().to(args.device).train()
    optimizer = torch.optim.AdamW(student.parameters(), PEAK_RATE, weight_decay=0.05)
    parts = {"student": student, "optimizer": optimizer}
    path = args.work / "checkpoint.pt"
    steps, seconds = resume(path, parts)
    torch.manual_seed(args.seed + steps)
    draw = sampler(data, args.batch, args.seed + steps)
    images, kind = (torch.from_numpy(a).to(args.device) for a in (data.images, data.kind))
    bar = tqdm(total=round(args.minutes * 60), initial=round(seconds), unit="s", mininterval=5)
    started, saved = time.monotonic() - seconds, time.monotonic()
    while (progress := (time.monotonic() - started) / (60 * args.minutes)) < 1:
        size = next(px for until, px in SIZES if progress < until)
        for group in optimizer.param_groups:
            group["lr"] = rate_at(progress)
        rows = torch.from_numpy(draw()).to(args.device)
        pixels = normalise(random_views(images[rows], size))
        with torch.autocast(args.device, torch.bfloat16, enabled=args.device != "cpu"):
            outputs = student(pixels)
        logits, projected = (output.float() for output in outputs)
        loss = losses((logits, projected), kind[rows], soft[rows], features[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 5.0)
        optimizer.step()
        steps += 1
        if steps % 50 == 0:
            bar.n = round(time.monotonic() - started)
            bar.set_postfix(steps=steps, px=size, loss=f"{loss.item():.3f}")
        if time.monotonic() - saved > CHECKPOINT_S:
            saved = time.monotonic()
            save(path, parts, steps, saved - started)
    save(path, parts, steps, time.monotonic() - started)


def resume(path: Path, parts: dict[str, Any]) -> tuple[int, float]:
    """Load a checkpoint into `parts`; returns steps and seconds spent (0, 0 without one)."""
    if not path.is_file():
        return 0, 0.0
    state = torch.load(path, map_location="cpu", weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return int(state["steps"]), float(state["seconds"])


def save(path: Path, parts: dict[str, Any], steps: int, seconds: float) -> None:
    """Write a checkpoint under a temporary name first, so that a kill leaves the old one intact."""
    state = {name: part.state_dict() for name, part in parts.items()}
    partial = path.with_suffix(".partial")
    torch.save({**state, "steps": steps, "seconds": seconds}, partial)
    partial.replace(path)


def refit(args: argparse.Namespace) -> None:
    """Fit the last layer of the network in `--out` again, with every class drawn equally often.

    Otherwise "other", the largest class and the least useful one, absorbs streets and paths.
    """
    data = load(require_data(args.data), args.work)
    torch.manual_seed(args.seed)
    net: Any = exported(args.out).to(args.device)

    def features(pixels: Tensor) -> Tensor:
        pooled: Tensor = net.forward_head(net.forward_features(pixels), pre_logits=True)
        return pooled

    rows = np.flatnonzero(data.train & (data.kind >= 0))
    seen = scene_report.outputs_of(features, data, rows, LAST_PX, normalise, args.device)
    kinds = torch.from_numpy(data.kind[rows])
    net.cpu().reset_classifier(len(CLASSES))
    head: Any = net.get_classifier()
    optimizer = torch.optim.AdamW(head.parameters(), HEAD_RATE, weight_decay=0.05)
    chance = 1.0 / torch.bincount(kinds, minlength=len(CLASSES)).float()[kinds]
    for step in tqdm(range(HEAD_STEPS), "head", mininterval=5):
        optimizer.param_groups[0]["lr"] = HEAD_RATE * (1 - step / HEAD_STEPS)
        index = torch.multinomial(chance, 256, replacement=True)
        loss = F.cross_entropy(head(seen[index]), kinds[index], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    write_weights(net, args.out)


def val_logits(net: Any, data: SceneData) -> Tensor:
    """Logits [V, L] of `net` for the val images, shown as in the engine."""
    return scene_report.outputs_of(net, data, np.flatnonzero(data.val), LAST_PX, normalise, "cpu")


def trained_model(work: Path) -> tuple[Any, dict[str, float]]:
    """The reparameterised classifier, rounded to fp16 but in fp32, and how long it was trained."""
    student = Student()
    steps, seconds = resume(work / "checkpoint.pt", {"student": student})
    if steps == 0:
        raise SystemExit(f"error: no checkpoint in {work}; run `train` first")
    net: Any = reparameterize_model(student.net.eval())
    return net.half().float(), {"steps": steps, "seconds": round(seconds)}


def export(args: argparse.Namespace) -> None:
    """Write the weights, and `scenes.json` without figures."""
    net, spent = trained_model(args.work)
    args.out.mkdir(parents=True, exist_ok=True)
    write_weights(net, args.out)
    card = {
        "name": "fastvit_t8-pocket",
        "version": 0,
        "architecture": ARCHITECTURE,
        "load": "timm.create_model(architecture, num_classes=len(classes), inference_mode=True), "
        "then load_state_dict(strict=True)",
        "image_size": LAST_PX,
        "resize": "squash",
        "mean": MEAN,
        "std": STD,
        "seed": args.seed,
        "training": spent,
        "command": f"python -m experiments.pocket.scenes train --minutes {args.minutes:g} "
        f"--batch {args.batch} --seed {args.seed}, then export, then refit",
    }
    scene_report.write_card(args.out, card)


def write_weights(net: Any, out: Path) -> None:
    """Write a reparameterised classifier in fp16; fails unless it loads strictly."""
    path = out / WEIGHTS
    state = {name: tensor.contiguous() for name, tensor in net.half().state_dict().items()}
    save_file(state, path, {"format": "pt"})
    path.chmod(0o644)
    exported(out)


def exported(out: Path) -> Any:
    """The classifier in `out`, with fp16 weights as fp32, loaded as in the engine."""
    state = {name: tensor.float() for name, tensor in load_file(out / WEIGHTS).items()}
    classes = len(state["head.fc.bias"])
    net: Any = timm.create_model(ARCHITECTURE, num_classes=classes, inference_mode=True)
    net.load_state_dict(state, strict=True)
    return net.eval()


def evaluate(args: argparse.Namespace) -> None:
    """Evaluate the networks in `--out` together; write their mixture and all figures into
    `scenes.json`.
    """
    data = load(require_data(args.data), args.work)
    head = build_head(len(CLASSES))
    head.load_state_dict(load_file(args.out / scene_ensemble.WEIGHTS))
    second = scene_ensemble.val_logits(head.eval(), data, args)
    report = scene_report.judge(val_logits(exported(args.out), data), second, data, args.seed)
    card = json.loads((args.out / scene_report.CARD).read_text(encoding="utf-8"))
    card["second"] = {
        "weights": scene_ensemble.WEIGHTS,
        "last_layer": scene_ensemble.LAST_LAYER,
        "image_size": STORED_PX,
        "weight": report["weight"],
        "command": "python -m experiments.pocket.scene_ensemble, then scenes evaluate",
    }
    scene_report.write(args.out, card, report, data)


def main() -> None:
    parser = command_parser("experiments.pocket.scenes", __doc__)
    parser.add_argument("action", choices=("train", "export", "refit", "evaluate"))
    add_common_arguments(parser, Path("work/scenes"), minutes=55)
    parser.add_argument("--batch", type=int, default=32, help="images per step; 256 on a large GPU")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.device = chosen_device(args.device)
    {"train": train, "refit": refit, "export": export, "evaluate": evaluate}[args.action](args)


if __name__ == "__main__":
    main()
