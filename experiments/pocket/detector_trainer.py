"""The pocket detector's network, and Ultralytics' trainer adapted to it.

Images come from memory, labels count only where they are known, and on a CPU the frozen trunk
runs in OpenVINO.
"""

from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision.models import _api as torchvision_builders
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils.loss import v8DetectionLoss
from ultralytics.utils.tal import make_anchors

from experiments.pocket.detector_data import IMAGE_SIZE, PocketDataset, collate
from experiments.pocket.detector_labels import LABELS
from experiments.pocket.teacher import compiled, lite0
from models.devices import has_bf16

TRUNK = "efficientnet_lite0_imagenet"  # the builder's name in the model's YAML
TRUNK_RATE = 0.2  # of the learning rate of the new neck and head
# Most sources have at most 224 px per side: on a CPU the first steps use them near their own size,
# at two thirds of the cost, and the last steps at the shipped size.
FIRST_PX, FIRST_SHARE = 256, 0.6
EPOCH = 4096  # images drawn

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
    """The frozen trunk in OpenVINO, five times as fast on a CPU as eager torch in training form.

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
    """Ultralytics' loss in float32 that ignores unknown labels.

    These are labels that an image's set does not cover, and a label inside a doubtful machine box,
    where a negative would be wrong as often as right.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model)
        self.bce = self._covered_bce
        self.covered = torch.ones(())

    def _covered_bce(self, scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Scores, targets and result are [batch, anchors, labels]; the result is zero if nothing
        is known.
        """
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
    """Ultralytics' trainer over a `PocketDataset`; an epoch is `length` images."""

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
            return self.train_loader  # `evaluate` judges it, not the training
        dataset = PocketDataset(
            Path(dataset_path), self.length, int(self.args.imgsz), self.args.seed
        )
        loader = DataLoader(
            dataset,
            batch_size,
            num_workers=self.args.workers,
            collate_fn=collate,
            drop_last=True,
            persistent_workers=self.args.workers > 0,  # each holds all images
            pin_memory=self.args.workers > 0,
        )
        loader.reset = lambda: None
        return loader

    def _setup_train(self) -> None:
        super()._setup_train()
        self.model.criterion = CoveredLoss(self.model)
        if self.device.type == "cpu":
            # Only in this copy, which is never saved: the averaged one keeps the torch trunk.
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
        """Ultralytics' optimizer, with the trunk's parameters in slower groups."""
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
        """Nothing to store with the weights: reading it would need Polars."""
        return {}

    def final_eval(self) -> None:
        """Leaves `last.pt` complete, so that training can be resumed."""
