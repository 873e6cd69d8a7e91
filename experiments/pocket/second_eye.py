"""Trains the scenes' second eye: a head on EfficientNet-Lite0's last features. Run with `--help`.

The trunk stays as ImageNet made it, so its features are taken once, of whole pictures and of crops,
and the head learns on those in a minute. It also teaches FastViT (`experiments.pocket.scenes`).
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from experiments.pocket.data import add_common_arguments, require_data
from experiments.pocket.scene_data import CACHE_BATCH, LABELS, TEACHER_PX, SceneData, load
from experiments.pocket.teacher import FeatureExtractor, lite0
from models.second_eye import build_head

CROPS = 2  # of each training picture, beside the whole
SMALLEST = 0.45  # a crop keeps at least this share of the area: a walker comes nearer
EPOCHS, BATCH = 16, 256
PEAK_RATE = 1e-3
WEIGHTS = "scenes.second.safetensors"
NODE = "__module.model.0.m.8.0.bn3/aten::batch_norm/BatchNormInference"
"""The last stage of the trunk in the detector's OpenVINO form."""


def crops(images: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    """One random crop of each uint8 [B, H, W, 3], mirrored or not: [B, 3, TEACHER_PX, TEACHER_PX]."""
    side = images.shape[1]
    seen = []
    for image in images:
        height, width = (np.sqrt(rng.uniform(SMALLEST, 1, 2)) * side).astype(int)
        top, left = rng.integers(0, side - height + 1), rng.integers(0, side - width + 1)
        cut = torch.from_numpy(image[top : top + height, left : left + width].copy())
        pixels = cut.permute(2, 0, 1)[None].float() / 255
        view = functional.interpolate(pixels, TEACHER_PX, mode="bicubic", antialias=True)
        seen.append((view.flip(3) if rng.random() < 0.5 else view).clamp(0, 1).numpy())
    return np.concatenate(seen)


def cropped_features(data: SceneData, work: Path, threads: int, seed: int) -> NDArray[np.float16]:
    """Features [CROPS, T, 1280] of crops of the T labelled training pictures; cached, some minutes."""
    path = work / "crops.npy"
    if path.is_file():
        found: NDArray[np.float16] = np.load(path)
        return found
    rows = np.flatnonzero(data.train & (data.scene >= 0))
    extract, rng = FeatureExtractor(lite0(), threads), np.random.default_rng(seed)
    parts = np.array_split(np.tile(rows, CROPS), max(1, len(rows) * CROPS // CACHE_BATCH))
    features = np.concatenate(
        [
            extract(crops(data.images[some], rng)).mean(axis=(2, 3)).astype(np.float16)
            for some in tqdm(parts, "crops", mininterval=5)
        ]
    ).reshape(CROPS, len(rows), -1)
    np.save(path, features)
    return features


def fit(data: SceneData, views: NDArray[np.float16] | None, seed: int) -> nn.Module:
    """The part of the head behind the pooled features, [B, 1280] to logits [B, L], trained on the
    whole pictures and on `views` [V, T, 1280]."""
    torch.manual_seed(seed)
    last: Any = build_head(len(LABELS))[4:]
    part = nn.Sequential(last[0], nn.Dropout(0.3), last[1], last[2], nn.Dropout(0.3), last[3])
    optimizer = torch.optim.AdamW(part.parameters(), PEAK_RATE, weight_decay=0.05)
    rows = np.flatnonzero(data.train & (data.scene >= 0))
    whole = data.pooled[rows][None]
    looks = torch.from_numpy(whole if views is None else np.concatenate([whole, views]))
    labels = torch.from_numpy(data.scene[rows])
    for epoch in range(EPOCHS):
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * (1 - epoch / EPOCHS)
        for index in torch.randperm(len(rows)).split(BATCH):
            look = looks[torch.randint(len(looks), (len(index),)), index].float()
            loss = functional.cross_entropy(part(look), labels[index], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return last.eval().requires_grad_(False)


def val_logits(head: nn.Module, data: SceneData) -> Tensor:
    """What `head` says of the val pictures: [V, L]."""
    with torch.inference_mode():
        logits: Tensor = head(torch.from_numpy(data.pooled[data.val].astype(np.float32)))
    return logits.clone()


def whole_head(last: nn.Module) -> Any:
    """`last` behind EfficientNet-Lite0's own last layer, its batch norm folded in: what is shipped."""
    net, head = lite0(), build_head(len(LABELS))
    scale = net.bn2.weight / torch.sqrt(net.bn2.running_var + net.bn2.eps)
    with torch.no_grad():
        head[0].weight.copy_(net.conv_head.weight * scale[:, None, None, None])
        head[0].bias.copy_(net.bn2.bias - net.bn2.running_mean * scale)
    for place, layer in enumerate(last.children(), start=4):
        head[place].load_state_dict(layer.state_dict())
    return head.eval()


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="experiments.pocket.second_eye", description=__doc__)
    add_common_arguments(parser, Path("work/scenes"), minutes=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    data = load(require_data(args.data), args.work, args.threads)
    last = fit(data, cropped_features(data, args.work, args.threads, args.seed), args.seed)
    truth = data.scene[data.val]
    hits = val_logits(last, data).argmax(1).numpy() == truth
    each = np.mean([hits[truth == scene].mean() for scene in np.unique(truth)])
    print(
        f"second eye: top-1 {hits.mean():.3f}, mean over scenes {each:.3f}, {len(hits)} val pictures"
    )
    args.out.mkdir(parents=True, exist_ok=True)
    state = {
        name: value.half().contiguous() for name, value in whole_head(last).state_dict().items()
    }
    save_file(state, args.out / WEIGHTS, {"format": "pt"})


if __name__ == "__main__":
    main()
