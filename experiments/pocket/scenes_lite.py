"""Trains and exports the pocket scene classifier on an ImageNet trunk, EfficientNet-Lite0.

The trunk stays frozen and its pooled features are cached, so a linear head is all there is to train:
a minute on one core. Run with `--help`; `scenes` trains a FastViT-T8 from scratch instead.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from experiments.pocket import scene_report
from experiments.pocket.data import add_common_arguments, require_data
from experiments.pocket.scene_data import LABELS, TEACHER_PX, SceneData, load
from experiments.pocket.teacher import ARCHITECTURE, WIDTH, lite0

EPOCHS = 30
BATCH = 256
PEAK_RATE = 2e-3


def train_head(data: SceneData, seed: int) -> nn.Linear:
    """Fits the last layer, [B, 1280] pooled features to logits [B, L]."""
    torch.manual_seed(seed)
    rows = np.flatnonzero(data.train & (data.scene >= 0))
    features = torch.from_numpy(data.pooled[rows].astype(np.float32))
    labels = torch.from_numpy(data.scene[rows])
    head = nn.Linear(WIDTH, len(LABELS))
    optimizer = torch.optim.AdamW(head.parameters(), PEAK_RATE, weight_decay=0.1)
    for epoch in tqdm(range(EPOCHS), "epochs"):
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * (1 - epoch / EPOCHS)
        for index in torch.randperm(len(rows)).split(BATCH):
            seen = F.dropout(features[index], 0.3)
            loss = F.cross_entropy(head(seen), labels[index], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return head.eval().requires_grad_(False)


def val_logits(head: nn.Linear, data: SceneData) -> Tensor:
    """Logits of the val images, [V, L], from the cached features."""
    logits: Tensor = head(torch.from_numpy(data.pooled[data.val].astype(np.float32)))
    return logits.detach()


def whole_model(head: nn.Linear) -> Any:
    """timm's model with the trained head: RGB in 0-1, [B, 3, 224, 224] to logits [B, L]."""
    net = lite0()
    net.reset_classifier(len(LABELS))
    net.classifier.load_state_dict(head.state_dict())
    return net.eval()


def export(args: argparse.Namespace, head: nn.Linear, data: SceneData) -> None:
    """Writes weights, labels and figures; fails unless the weights load strictly."""
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "scenes.safetensors"
    net = whole_model(head)
    save_file({name: v.contiguous() for name, v in net.half().state_dict().items()}, path)
    path.chmod(0o644)
    net.float().load_state_dict(load_file(path), strict=True)
    report = scene_report.evaluate(val_logits(net.classifier, data), data, args.seed)
    card = {
        "name": "efficientnet_lite0-pocket",
        "version": 0,
        "architecture": ARCHITECTURE,
        "load": "timm.create_model(architecture, num_classes=len(labels)), then "
        "load_state_dict(strict=True)",
        "image_size": TEACHER_PX,
        "resize": "squash",
        "mean": (0.0, 0.0, 0.0),
        "std": (1.0, 1.0, 1.0),
        "seed": args.seed,
        "training": {"epochs": EPOCHS, "batch": BATCH, "trunk": "ImageNet weights, frozen"},
        "command": f"python -m experiments.pocket.scenes_lite export --seed {args.seed}",
    }
    scene_report.write(args.out, card, report, data)


def main() -> None:
    """Command line: evaluate (train and measure), export (train, measure and write)."""
    parser = argparse.ArgumentParser(prog="experiments.pocket.scenes_lite", description=__doc__)
    parser.add_argument("action", choices=("evaluate", "export"))
    add_common_arguments(parser, Path("work/scenes"), minutes=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    data = load(require_data(args.data), args.work, args.threads)
    head = train_head(data, args.seed)
    if args.action == "export":
        export(args, head, data)
    else:
        report = scene_report.evaluate(val_logits(head, data), data, args.seed)
        print(scene_report.summary(report))


if __name__ == "__main__":
    main()
