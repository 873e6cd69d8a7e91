"""Trains the second network of the scene ensemble: a head on the detector's trunk.

`python -m experiments.pocket.scene_ensemble`. The trunk stays as the detector's training left it,
so its features are computed once, of whole images and of crops, and only the head learns. Several
heads start from the same weights and see the images in different orders; their mean is better than
each of them.
Finished heads are kept in `--work`. A head on the same network with ImageNet's weights is FastViT's
teacher (`experiments.pocket.scenes`).
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from engine.core.files import sha256_of
from experiments.common import command_parser
from experiments.pocket.data import add_common_arguments, chosen_device, require_data
from experiments.pocket.scene_data import CLASSES, STORED_PX, SceneData, load
from experiments.pocket.teacher import compiled, lite0
from experiments.pocket.views import random_views, whole_views
from models.devices import has_bf16
from models.torch.scenes import TRUNK_CHANNELS, build_head

CROPS = 3  # of each training image, in addition to the whole
SMALLEST = 0.45  # least share of the area in a crop, as when a walker comes nearer
EPOCHS, BATCH = 16, 256
PEAK_RATE = 1e-3
WEIGHTS = "scenes.second.safetensors"
# The last convolution of the trunk in the detector.
LAST_LAYER = "model.0.m.8.0.conv_pwl"


def imagenet_trunk() -> nn.Module:
    """EfficientNet-Lite0 with ImageNet's weights up to its last stage: [B, 3, S, S] in 0-1 to [B,
    320, S / 32, S / 32].
    """
    net = lite0()
    return nn.Sequential(net.conv_stem, net.bn1, *net.blocks).eval()


def detector_trunk(out: Path) -> nn.Module:
    """The same trunk from `out/detector.pt`, whose first layer runs its layers one by one."""
    state = torch.load(out / "detector.pt", map_location="cpu", weights_only=False)
    return nn.Sequential(*state["model"].float().model[0].m).eval()


def trunk_maps(
    trunk: nn.Module,
    data: SceneData,
    rows: np.ndarray,
    args: argparse.Namespace,
    crops: int = 0,
    mirrored: bool = False,
) -> Tensor:
    """Features float16 [1 + crops, T, 320, 7, 7] of the images `rows` [T]: whole (`mirrored` or
    not), then cropped.
    """
    cells = STORED_PX // 32
    maps = torch.empty(1 + crops, len(rows), TRUNK_CHANNELS, cells, cells, dtype=torch.float16)
    run: Any = trunk.to(args.device)
    if args.device == "cpu":
        quick = compiled(trunk, STORED_PX, args.threads)

        def run(pixels: Tensor) -> Tensor:
            return torch.from_numpy(quick(pixels.numpy())[0])

    torch.manual_seed(args.seed)
    parts = [(view, at) for view in range(1 + crops) for at in range(0, len(rows), 64)]
    with torch.inference_mode():
        for view, at in tqdm(parts, "trunk", mininterval=5):
            some = torch.from_numpy(data.images[rows[at : at + 64]]).to(args.device)
            some = some.flip(2) if mirrored else some
            pixels = (
                random_views(some, STORED_PX, SMALLEST) if view else whole_views(some, STORED_PX)
            )
            maps[view, at : at + 64] = run(pixels).half().cpu()
    return maps


def imagenet_head() -> Any:
    """A head whose first layer is EfficientNet-Lite0's own last one, with its batch norm folded in."""
    net, head = lite0(), build_head(len(CLASSES))
    scale = net.bn2.weight / torch.sqrt(net.bn2.running_var + net.bn2.eps)
    with torch.no_grad():
        head[0].weight.copy_(net.conv_head.weight * scale[:, None, None, None])
        head[0].bias.copy_(net.bn2.bias - net.bn2.running_mean * scale)
    return head


def fit(maps: Tensor, kinds: Tensor, args: argparse.Namespace, order: int = 0) -> Any:
    """Train a head on views `maps` [V, T, 320, 7, 7] of images of classes `kinds` [T]. Heads with
    the same seed start from the same weights, independently of `order`, the order of the images.
    """
    torch.manual_seed(args.seed)
    head = imagenet_head()
    torch.manual_seed(args.seed + order)
    parts = list(head.children())
    learning = nn.Sequential(*parts[:5], nn.Dropout(0.3), *parts[5:7], nn.Dropout(0.3), parts[7])
    learning.to(args.device).train()
    slow, quick = list(head[0].parameters()), list(head[4:].parameters())
    optimizer = torch.optim.AdamW(
        [{"params": slow, "share": 0.1}, {"params": quick, "share": 1.0}], weight_decay=0.05
    )
    halves = args.device != "cpu" or has_bf16()
    for epoch in tqdm(range(EPOCHS), "head", mininterval=5):
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * group["share"] * (1 - epoch / EPOCHS)
        for index in torch.randperm(len(kinds)).split(BATCH):
            look = maps[torch.randint(len(maps), (len(index),)), index].to(args.device).float()
            with torch.autocast(args.device, torch.bfloat16, enabled=halves):
                logits = learning(look)
            truth = kinds[index].to(args.device)
            loss = functional.cross_entropy(logits.float(), truth, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return head.cpu().eval().requires_grad_(False)


def val_logits(head: nn.Module, data: SceneData, args: argparse.Namespace) -> Tensor:
    """Logits [V, C] of `head` on the detector's trunk for the val images, computed as in the
    engine: the mean over each image and its mirror image.
    """
    trunk, rows = detector_trunk(args.out), np.flatnonzero(data.val)
    views = [trunk_maps(trunk, data, rows, args, mirrored=m)[0] for m in (False, True)]
    with torch.inference_mode():
        view_logits = [torch.cat([head(some.float()) for some in maps.split(64)]) for maps in views]
    return torch.stack(view_logits).mean(0).clone()


def main() -> None:
    parser = command_parser("experiments.pocket.scene_ensemble", __doc__)
    add_common_arguments(parser, Path("work/scenes"), minutes=0)
    parser.add_argument(
        "--heads", type=int, default=3, help="number of heads whose mean is written"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    args.device = chosen_device(args.device)
    data = load(require_data(args.data), args.work)
    rows = np.flatnonzero(data.train & (data.kind >= 0))
    trunk = sha256_of(args.out / "detector.pt")[:12]  # a head fits one trunk only
    names = [f"second_{trunk}_{args.seed}_{order}.safetensors" for order in range(args.heads)]
    paths = [args.work / name for name in names]
    missing = [(order, path) for order, path in enumerate(paths) if not path.is_file()]
    if missing:
        maps = trunk_maps(detector_trunk(args.out), data, rows, args, CROPS)
    for order, path in missing:
        head = fit(maps, torch.from_numpy(data.kind[rows]), args, order)
        partial = path.with_suffix(".partial")
        save_file(head.state_dict(), partial, {"format": "pt"})
        partial.replace(path)
    heads = [load_file(path) for path in paths]
    args.out.mkdir(parents=True, exist_ok=True)
    mean = {name: sum(head[name] for head in heads) / len(heads) for name in heads[0]}
    state = {name: value.half().contiguous() for name, value in mean.items()}
    save_file(state, args.out / WEIGHTS, {"format": "pt"})


if __name__ == "__main__":
    main()
