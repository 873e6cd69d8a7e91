"""Trains, judges and exports the pocket detector: YOLO11n's neck and head on EfficientNet-Lite0.

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
    python -m experiments.pocket.detector export
    python -m experiments.pocket.detector evaluate

Each training wants a `--work` of its own. Ultralytics' own trainer does the training; what differs is
that the pictures come from memory, that a label counts only where its set covers it, and that a CPU
starts with smaller pictures where it begins anew, leaves the trunk as it is and runs it in OpenVINO.
The saved weights hold no class of this project, so Ultralytics alone loads them.
"""

import argparse
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

os.environ.setdefault("YOLO_OFFLINE", "true")
os.environ.setdefault("YOLO_AUTOINSTALL", "false")

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision.models import _api as torchvision_builders
from ultralytics import YOLO
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils import SETTINGS
from ultralytics.utils.loss import v8DetectionLoss
from ultralytics.utils.tal import make_anchors

from experiments.pocket.data import DEFAULT_DATA, require_data
from experiments.pocket.detector_data import (
    IMAGE_SIZE,
    LABELS,
    SLOW_SIZE,
    PocketDataset,
    collate,
    read_samples,
)
from experiments.pocket.detector_eval import evaluate_model
from experiments.pocket.teacher import compiled, lite0
from models.devices import has_bf16

DEFAULT_WORK = Path("work/detector")
DEFAULT_OUT = Path("models/pocket")
TRUNK = "efficientnet_lite0_imagenet"  # what the model's YAML calls the builder below
TRUNK_RATE = 0.2  # learning rate of the trunk over that of the fresh neck and head
# Most sources are 224 px a side or fewer: on a CPU the first steps see them near their own size, at two
# thirds of the cost, the last ones at the shipped size.
FIRST_PX, FIRST_SHARE = 256, 0.6
EPOCH = 4096  # pictures drawn
GPU_EPOCHS = 4  # that are one there, where the end of each costs as long as hundreds of pictures

# Ultralytics' layer list: [from, repeats, module, arguments]. The trunk returns every stage; its
# strides 8, 16 and 32 have 40, 112 and 320 channels. Rows 4 on are YOLO11's neck and head.
BACKBONE = [
    [-1, 1, "TorchVision", [320, TRUNK, "DEFAULT", True, 0, True]],
    [0, 1, "Index", [40, 5]],
    [0, 1, "Index", [112, 7]],
    [0, 1, "Index", [320, 9]],
    [-1, 1, "SPPF", [1024, 5]],
    [-1, 2, "C2PSA", [1024]],
]
HEAD = [
    [-1, 1, "nn.Upsample", ["None", 2, "nearest"]],
    [[-1, 2], 1, "Concat", [1]],
    [-1, 2, "C3k2", [512, False]],
    [-1, 1, "nn.Upsample", ["None", 2, "nearest"]],
    [[-1, 1], 1, "Concat", [1]],
    [-1, 2, "C3k2", [256, False]],
    [-1, 1, "Conv", [256, 3, 2]],
    [[-1, 8], 1, "Concat", [1]],
    [-1, 2, "C3k2", [512, False]],
    [-1, 1, "Conv", [512, 3, 2]],
    [[-1, 5], 1, "Concat", [1]],
    [-1, 2, "C3k2", [1024, True]],
    [[11, 14, 17], 1, "Detect", ["nc"]],
]
MODEL = {
    "nc": len(LABELS),
    "scales": {"n": [0.5, 0.25, 1024]},  # depth, width, most channels: YOLO11n's
    "scale": "n",
    "backbone": BACKBONE,
    "head": HEAD,
}


@torchvision_builders.register_model(TRUNK)  # type: ignore[untyped-decorator]
def build_trunk(weights: str | None = None) -> nn.Sequential:
    """EfficientNet-Lite0 without its classifier, for RGB in [0, 1]: stem, norm, seven stages."""
    net = lite0()
    return nn.Sequential(net.conv_stem, net.bn1, *net.blocks)


class OpenVinoTrunk:
    """The frozen trunk, five times as fast on a CPU as eager torch in training form.

    Maps RGB in 0-1, [batch, 3, side, side], to a list in which only the rows that the `Index`
    layers of BACKBONE take are filled: strides 8, 16 and 32.
    """

    ROWS = (5, 7, 9)

    def __init__(self, trunk: nn.Module, threads: int) -> None:
        was_training = trunk.training
        self._compiled = compiled(_Stages(trunk).eval(), IMAGE_SIZE, threads)
        trunk.train(was_training)

    def __call__(self, pixels: torch.Tensor) -> list[torch.Tensor | None]:
        found = self._compiled(pixels.contiguous().numpy())
        stages: list[torch.Tensor | None] = [None] * 10
        for place, row in enumerate(self.ROWS):
            maps = torch.from_numpy(found[place].copy())
            stages[row] = maps.contiguous(memory_format=torch.channels_last)
        return stages


class _Stages(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """The three rows of a trunk that OpenVinoTrunk fills, as a tuple, for tracing."""

    def __init__(self, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        stages = self.trunk(pixels)
        return tuple(stages[row] for row in OpenVinoTrunk.ROWS)


class CoveredLoss(v8DetectionLoss):  # type: ignore[misc]  # Ultralytics is untyped
    """Ultralytics' loss in float32, silent about labels that a picture's set does not cover, and about a
    label where a machine is unsure of it: that it is not there would be a lie as often as not."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.bce = self._covered_bce
        self.covered = torch.ones(())

    def _covered_bce(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Both [batch, anchors, labels]; so is what it returns, zero where nothing is known."""
        each = functional.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        return torch.where(targets > 0, each, each * self.covered)

    def loss(self, preds: dict[str, Any], batch: dict[str, Any]) -> Any:
        points, strides = make_anchors(preds["feats"], self.stride, 0.5)
        centres = points * strides / (preds["feats"][0].shape[-1] * self.stride[0])
        known = batch["covered"][:, :, None].repeat(1, 1, len(centres))  # [batch, labels, anchors]
        low, high = batch["unsure"][:, None, 1:3], batch["unsure"][:, None, 3:]
        inside = ((centres >= low) & (centres <= high)).all(-1)  # [unsure boxes, anchors]
        at = (batch["unsure_idx"], batch["unsure"][:, 0].long())
        known.index_put_(at, -inside.to(known.dtype), accumulate=True)
        self.covered = known.clamp_(min=0).transpose(1, 2)
        exact = preds | {key: preds[key].float() for key in ("boxes", "scores")}
        with torch.autocast(batch["img"].device.type, enabled=False):  # bfloat16 blurs box edges
            return super().loss(exact, batch)


class PocketTrainer(DetectionTrainer):  # type: ignore[misc]
    """Ultralytics' trainer over a `PocketDataset`; `length` pictures are called an epoch."""

    length = EPOCH

    def get_dataset(self) -> dict[str, Any]:
        root, names = str(self.args.data), dict(enumerate(LABELS))
        return {"train": root, "val": root, "names": names, "nc": len(names), "channels": 3}

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:
        model = DetectionModel(cfg if isinstance(cfg, dict) else MODEL, verbose=verbose)
        model.names = self.data["names"]
        if weights:
            model.load(weights)
        return model.to(memory_format=torch.channels_last)  # half as fast again on a CPU

    def get_dataloader(
        self, dataset_path: str, batch_size: int = 16, rank: int = 0, mode: str = "train"
    ) -> Any:
        if mode != "train":
            return self.train_loader  # judged by `evaluate`, not while training
        dataset = PocketDataset(
            Path(dataset_path), self.length, int(self.args.imgsz), self.args.seed
        )
        loader = DataLoader(
            dataset,
            batch_size,
            num_workers=self.args.workers,
            collate_fn=collate,
            drop_last=True,
            persistent_workers=self.args.workers > 0,  # each holds all pictures
            pin_memory=self.args.workers > 0,
        )
        loader.reset = lambda: None
        return loader

    def _setup_train(self) -> None:
        super()._setup_train()
        self.model.criterion = CoveredLoss(self.model)
        if self.device.type == "cpu":
            # only this copy, which is never saved: the averaged one keeps the torch trunk
            trunk = self.model.model[0]
            trunk.forward = OpenVinoTrunk(trunk, torch.get_num_threads())
            if has_bf16():
                self.model.predict = torch.autocast("cpu", torch.bfloat16)(self.model.predict)

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        batch = super().preprocess_batch(batch)
        pixels = batch["img"]
        begun = bool(self.args.pretrained)
        if self.device.type == "cpu" and not begun and self.epoch < FIRST_SHARE * self.epochs:
            pixels = functional.interpolate(pixels, FIRST_PX, mode="bilinear", antialias=True)
        batch["img"] = pixels.contiguous(memory_format=torch.channels_last)
        return batch

    def build_optimizer(self, model: nn.Module, *args: Any, **settings: Any) -> Any:
        """Ultralytics' own, with the trunk's parameters in slower groups."""
        optimizer = super().build_optimizer(model, *args, **settings)
        trunk = {id(p) for p in model.model[0].parameters()}
        for group in list(optimizer.param_groups):
            slow = [p for p in group["params"] if id(p) in trunk]
            group["params"] = [p for p in group["params"] if id(p) not in trunk]
            optimizer.add_param_group({**group, "params": slow, "lr": group["lr"] * TRUNK_RATE})
        return optimizer

    def validate(self) -> tuple[dict[str, float], float]:
        return {}, float(self.epoch)  # so that the last weights are the best

    def read_results_csv(self) -> dict[str, list[float]]:
        """What would be stored with the weights; it needs Polars, and losses are in the file anyway."""
        return {}

    def final_eval(self) -> None:
        """Leaves `last.pt` whole, so that training can go on."""


def epoch_length(device: str) -> int:
    """Pictures drawn that are called an epoch there."""
    return EPOCH if device == "cpu" else GPU_EPOCHS * EPOCH


def train(arguments: argparse.Namespace) -> None:
    """Trains for the given minutes, or goes on where `last.pt` was left."""
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
    """Writes the averaged weights of `last.pt` as detector.pt, in half precision and without a
    trace of the machine, and detector_openvino_model/ from it."""
    last = arguments.work / "run" / "weights" / "last.pt"
    if not last.is_file():
        print(f"error: no checkpoint at {last}; run train first", file=sys.stderr)
        raise SystemExit(2)
    checkpoint = torch.load(last, map_location="cpu", weights_only=False)
    kept_arguments = {"task": "detect", "imgsz": IMAGE_SIZE, "model": "yolo11n-lite0"}
    model = checkpoint["ema"].half()
    model.args, model.criterion, model.pt_path = kept_arguments, None, None
    path = arguments.out / "detector.pt"
    arguments.out.mkdir(parents=True, exist_ok=True)
    length = epoch_length(checkpoint["train_args"]["device"])
    kept = {"model": model, "train_args": kept_arguments, "epoch": checkpoint["epoch"]}
    kept |= {"pictures": (checkpoint["epoch"] + 1) * length, "license": "AGPL-3.0-or-later"}
    torch.save(kept, path)
    if arguments.weights_only:
        return
    YOLO(str(path)).export(format="openvino", imgsz=IMAGE_SIZE, quantize=16, dynamic=True)
    metadata = arguments.out / "detector_openvino_model" / "metadata.yaml"
    lines = metadata.read_text(encoding="utf-8").splitlines()
    dull = ("date:", "description:", "author:", "docs:")  # `description` may name a local path
    metadata.write_text(
        "".join(f"{line}\n" for line in lines if not line.startswith(dull)), encoding="utf-8"
    )


def evaluate(arguments: argparse.Namespace) -> None:
    """Writes detector.json: thresholds and figures of detector.pt on the `val` pictures."""
    root = require_data(arguments.data)
    torch.set_num_threads(arguments.threads)
    model = YOLO(str(arguments.out / "detector.pt"))
    confidence, figures = evaluate_model(model, root, IMAGE_SIZE, arguments.seed)
    slow_confidence, slow_figures = evaluate_model(model, root, SLOW_SIZE, arguments.seed)
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
        "without_bf16": {"image_size": SLOW_SIZE, "confidence": slow_confidence},
        "seed": arguments.seed,
        "data": {
            "train_pictures": dict(pictures),
            "train_boxes": {label: boxes[label] for label in LABELS},
            "pictures_drawn_in_last_training": checkpoint["pictures"],
        },
        "figures": figures,
        "figures_without_bf16": slow_figures,
        "command": "see experiments/pocket/detector.py: train, train --start, export, evaluate",
    }
    path = arguments.out / "detector.json"
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({IMAGE_SIZE: figures, SLOW_SIZE: slow_figures}, indent=2))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m experiments.pocket.detector", description="the pocket detector"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, summary in (
        ("train", "train, or go on with --resume"),
        ("export", "write detector.pt and its OpenVINO form"),
        ("evaluate", "choose thresholds, write detector.json"),
    ):
        command = commands.add_parser(name, help=summary)
        command.add_argument("--data", type=Path, default=DEFAULT_DATA, help="labelled sets")
        command.add_argument("--work", type=Path, default=DEFAULT_WORK, help="checkpoints")
        command.add_argument("--out", type=Path, default=DEFAULT_OUT, help="weights go here")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--threads", type=int, default=1, help="CPU threads")
        command.add_argument("--device", default="auto", help="auto, cpu or a GPU's number")
        command.add_argument("--epochs", type=int, default=24, help="of 4,096 drawn pictures")
        command.add_argument("--batch", type=int, default=32)
        command.add_argument(
            "--size", type=int, default=IMAGE_SIZE, help="pixels a side to train at"
        )
        command.add_argument("--minutes", type=float, help="instead of --epochs: fit this time")
        command.add_argument("--rate", type=float, default=0.002, help="highest learning rate")
        command.add_argument("--start", type=Path, help="begin with the weights of this .pt file")
        command.add_argument("--resume", action="store_true", help="go on from the last epoch")
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
