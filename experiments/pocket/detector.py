"""Trains, evaluates and exports the pocket detector: YOLO11n's neck and head on EfficientNet-Lite0.

    python -m experiments.pocket.detector train --size 320 --minutes 5.6 --batch 96   # on an H100
    python -m experiments.pocket.detector export --weights-only
    python -m experiments.pocket.detector train --size 320 --minutes 1.8 --batch 96 --rate 0.0015 \\
        --seed 1 --start models/pocket/detector.pt
    python -m experiments.pocket.detector export --weights-only
    python -m experiments.pocket.detector train --minutes 70 --rate 0.0008 --seed 2 \\
        --start models/pocket/detector.pt                                    # on two CPU cores
    python -m experiments.pocket.detector export --weights-only
    python -m experiments.pocket.detector train --minutes 33 --rate 0.0008 --seed 3 \\
        --start models/pocket/detector.pt
    python -m experiments.pocket.detector export --weights-only
    python -m experiments.pocket.detector train --minutes 6.5 --batch 192 --seed 4 \\
        --start models/pocket/detector.pt                                    # on the H100 again
    python -m experiments.pocket.detector export --mean-with models/pocket/detector.pt
    python -m experiments.pocket.detector evaluate

Each training needs its own `--work`. Ultralytics' trainer does the training, with three changes:
images come from memory; a label counts only where its set covers it; and a CPU freezes the trunk,
runs it in OpenVINO and, without `--start`, begins with smaller images. The saved weights contain no
class of this project, so that Ultralytics alone can load them.
"""

import argparse
import json
import os
import sys
from collections import Counter
from pathlib import Path

os.environ.setdefault("YOLO_OFFLINE", "true")
os.environ.setdefault("YOLO_AUTOINSTALL", "false")

import torch
from torch import nn
from ultralytics import YOLO
from ultralytics.utils import SETTINGS

from experiments.common import add_data, add_seed, command_parser
from experiments.pocket.data import require_data
from experiments.pocket.detector_data import IMAGE_SIZE, OTHER_SIZES
from experiments.pocket.detector_eval import evaluate_model
from experiments.pocket.detector_labels import LABELS, read_samples
from experiments.pocket.detector_trainer import EPOCH, PocketTrainer
from models.build.detector import build_detector

DEFAULT_WORK = Path("work/detector")
DEFAULT_OUT = Path("models/pocket")
# Epochs of a CPU that are one on a GPU, where the end of an epoch costs as much as hundreds of
# images.
GPU_EPOCHS = 4


def epoch_length(device: str) -> int:
    """The number of images that count as an epoch on a device."""
    return EPOCH if device == "cpu" else GPU_EPOCHS * EPOCH


def train(arguments: argparse.Namespace) -> None:
    """Train for the given minutes, or resume from `last.pt`."""
    root = require_data(arguments.data)
    torch.set_num_threads(arguments.threads)
    on_cpu = arguments.device == "cpu"
    PocketTrainer.length = epoch_length(arguments.device)
    last = arguments.work / "run" / "weights" / "last.pt"
    settings = {
        "model": "yolo11n.yaml",  # only its name: `get_model` builds MODEL
        "data": str(root),
        "project": str(arguments.work.resolve()),
        "name": "run",
        "exist_ok": True,
        "task": "detect",
        "imgsz": arguments.size,
        "batch": arguments.batch,
        "nbs": arguments.batch,
        "epochs": arguments.epochs,
        "time": None if arguments.minutes is None else arguments.minutes / 60,
        "optimizer": "AdamW",
        "pretrained": str(arguments.start) if arguments.start else False,
        "lr0": arguments.rate,
        "lrf": 0.01,
        "cos_lr": True,
        "warmup_epochs": 1.0,
        "warmup_bias_lr": 0.0,
        "weight_decay": 0.01,
        "seed": arguments.seed,
        "device": arguments.device,
        "workers": 0 if on_cpu else min(14, os.cpu_count() or 1),
        "amp": False if on_cpu else "bf16",
        "freeze": [0] if on_cpu else None,
        "val": False,
        "plots": False,
        "resume": str(last) if arguments.resume else False,
    }
    PocketTrainer(overrides=settings).train()


def export(arguments: argparse.Namespace) -> None:
    """Write the averaged weights of `last.pt` as detector.pt, and detector_openvino_model/ from it.

    The weights are in half precision and contain no path of this machine.
    """
    last = arguments.work / "run" / "weights" / "last.pt"
    if not last.is_file():
        print(f"error: no checkpoint at {last}; run train first", file=sys.stderr)
        raise SystemExit(2)
    checkpoint = torch.load(last, map_location="cpu", weights_only=False)
    kept_arguments = {"task": "detect", "imgsz": IMAGE_SIZE, "model": "yolo11n-lite0"}
    model = checkpoint["ema"]
    if arguments.mean_with:
        other = torch.load(arguments.mean_with, map_location="cpu", weights_only=False)["model"]
        average(model, other)
    model = model.half()
    model.args, model.criterion, model.pt_path = kept_arguments, None, None
    path = arguments.out / "detector.pt"
    arguments.out.mkdir(parents=True, exist_ok=True)
    length = epoch_length(checkpoint["train_args"]["device"])
    kept = {"model": model, "train_args": kept_arguments, "epoch": checkpoint["epoch"]}
    kept |= {"pictures": (checkpoint["epoch"] + 1) * length, "license": "AGPL-3.0-or-later"}
    torch.save(kept, path)
    if arguments.weights_only:
        return
    build_detector(path, arguments.out / "detector_openvino_model", share=True)


def average(model: nn.Module, other: nn.Module) -> None:
    """Make `model` the mean of both (Wortsman et al. 2022, Model soups). Where one was trained on
    from the other, the mean is often better than either.
    """
    theirs = other.state_dict()
    with torch.no_grad():
        for name, ours in model.state_dict().items():
            if ours.is_floating_point():
                ours.copy_((ours.float() + theirs[name].float()) / 2)


def evaluate(arguments: argparse.Namespace) -> None:
    """Write detector.json: thresholds and figures of detector.pt on the `val` images."""
    root = require_data(arguments.data)
    torch.set_num_threads(arguments.threads)
    model = YOLO(str(arguments.out / "detector.pt"))
    confidence, figures = evaluate_model(model, root, IMAGE_SIZE, arguments.seed)
    others = {size: evaluate_model(model, root, size, arguments.seed) for size in OTHER_SIZES}
    samples = read_samples(root, "train", arguments.seed)
    pictures = Counter(sample.set_name for sample in samples)
    trusted = [n for sample in samples for n in sample.classes if n < len(LABELS)]
    boxes = Counter(LABELS[number] for number in trusted)
    checkpoint = torch.load(arguments.out / "detector.pt", map_location="cpu", weights_only=False)
    report = {
        "name": "yolo11n-lite0",
        "version": 0,
        "labels": list(LABELS),
        "image_size": IMAGE_SIZE,
        "confidence": confidence,
        "confidence_at": {str(size): found[0] for size, found in others.items()},
        "seed": arguments.seed,
        "data": {
            "train_pictures": dict(pictures),
            "train_boxes": {label: boxes[label] for label in LABELS},
            "pictures_drawn_in_last_training": checkpoint["pictures"],
        },
        "figures": figures,
        "figures_at": {str(size): found[1] for size, found in others.items()},
        "command": "see experiments/pocket/detector.py: train, train --start, export, evaluate",
    }
    path = arguments.out / "detector.json"
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({IMAGE_SIZE: figures} | {s: f for s, (_, f) in others.items()}, indent=2))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = command_parser("experiments.pocket.detector", __doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, summary in (
        ("train", "train, or go on with --resume"),
        ("export", "write detector.pt and its OpenVINO form"),
        ("evaluate", "choose thresholds, write detector.json"),
    ):
        command = commands.add_parser(name, help=summary)
        add_data(command)
        command.add_argument("--work", type=Path, default=DEFAULT_WORK, help="checkpoints")
        command.add_argument("--out", type=Path, default=DEFAULT_OUT, help="weights go here")
        add_seed(command)
        command.add_argument("--threads", type=int, default=1, help="CPU threads")
        command.add_argument("--device", default="auto", help="auto, cpu or a GPU's number")
        command.add_argument("--epochs", type=int, default=24, help="of 4,096 drawn images")
        command.add_argument("--batch", type=int, default=32)
        command.add_argument(
            "--size", type=int, default=IMAGE_SIZE, help="pixels per side to train at"
        )
        command.add_argument("--minutes", type=float, help="instead of --epochs: fit this time")
        command.add_argument("--rate", type=float, default=0.002, help="highest learning rate")
        command.add_argument("--start", type=Path, help="begin with the weights of this .pt file")
        command.add_argument("--resume", action="store_true", help="go on from the last epoch")
        command.add_argument(
            "--mean-with", type=Path, help="export the mean of the weights and this .pt file's"
        )
        command.add_argument(
            "--weights-only", action="store_true", help="export without the OpenVINO form"
        )
    arguments = parser.parse_args()
    if arguments.device == "auto":
        arguments.device = "0" if torch.cuda.is_available() else "cpu"
    return arguments


def main() -> None:
    SETTINGS.update({"sync": False})
    arguments = parse_arguments()
    {"train": train, "export": export, "evaluate": evaluate}[arguments.command](arguments)


if __name__ == "__main__":
    main()
