"""Figures of a scene classifier on `val`: accuracy, calibration, confusion. Trains nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from experiments.pocket.scene_data import CLASSES, LABELS, STORED_PX, SceneData
from experiments.pocket.views import whole_views
from models.scenes import pocket_head, scene_of

Array = NDArray[np.floating[Any]]
CARD = "scenes.json"
BOOTSTRAPS = 1000


def outputs_of(
    net: Callable[[Tensor], Tensor],
    data: SceneData,
    rows: NDArray[np.int64],
    size: int,
    normalise: Callable[[Tensor], Tensor],
    device: str,
) -> Tensor:
    """Run `net`, which is on `device`, on the whole images `rows` [N] at `size` pixels per side;
    returns its outputs [N, ...].
    """
    batches = []
    parts = np.array_split(rows, max(1, len(rows) // 64))
    with torch.inference_mode():
        for some in tqdm(parts, "pictures", mininterval=5):
            pixels = whole_views(torch.from_numpy(data.images[some]).to(device), size)
            batches.append(net(normalise(pixels)).cpu())
    return torch.cat(batches).clone()  # out of inference mode, so that it can be trained on


def fit_temperature(logits: Tensor, truth: Tensor) -> float:
    """The divisor of the logits with the least log loss (Guo et al. 2017), to 1 in 100."""
    grid = torch.arange(0.3, 3.0, 0.01)
    losses = [functional.cross_entropy(logits / t, truth) for t in grid]
    return round(float(grid[int(torch.stack(losses).argmin())]), 2)


def calibration_error(confidence: Array, correct: Array, bins: int = 15) -> float:
    """Expected calibration error over equal-width bins (Naeini et al. 2015)."""
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [
        abs(confidence[which == b].mean() - correct[which == b].mean()) * np.mean(which == b)
        for b in range(bins)
        if np.any(which == b)
    ]
    return float(sum(gaps))


def interval(values: Array, seed: int) -> list[float]:
    """Bootstrap 95 % interval of a mean over images."""
    rng = np.random.default_rng(seed)
    means = [rng.choice(values, len(values)).mean() for _ in range(BOOTSTRAPS)]
    return [round(float(v), 4) for v in np.percentile(means, [2.5, 97.5])]


def measure(hits: Array, seed: int) -> dict[str, Any]:
    """A rate with its interval and number of images."""
    return {
        "value": round(float(hits.mean()), 4),
        "interval95": interval(hits, seed),
        "n": len(hits),
    }


def fit_mixture(first: Tensor, second: Tensor, truth: Tensor) -> tuple[float, float]:
    """(weight, temperature) with the least log loss, for the logits ((1 - weight) first + weight
    second) / temperature.
    """

    def loss(weight: float) -> float:
        mixed = torch.lerp(first, second, weight)
        return float(functional.cross_entropy(mixed / fit_temperature(mixed, truth), truth))

    weight = min((step / 20 for step in range(21)), key=loss)
    return weight, fit_temperature(torch.lerp(first, second, weight), truth)


def judge(first: Tensor, second: Tensor, data: SceneData, seed: int) -> dict[str, Any]:
    """All figures, weight and temperature (see `fit_mixture`), and the confusion matrix [L, L]
    (rows are the truth). `first` and `second` are the logits [V, C] of the val images, in order.

    Both parameters are fitted on one half of val and evaluated on the other, and vice versa; the
    shipped values are fitted on all of it.
    """
    truth = torch.from_numpy(data.kind[data.val])
    half = torch.from_numpy(np.random.default_rng(seed).random(len(truth)) < 0.5)
    together = torch.empty_like(first)
    for chosen in (half, ~half):
        weight, temperature = fit_mixture(first[chosen], second[chosen], truth[chosen])
        together[~chosen] = torch.lerp(first, second, weight)[~chosen] / temperature
    weight, temperature = fit_mixture(first, second, truth)
    figures, confusion = measured(together, data, seed)
    alone = {
        name: {key: measured(logits, data, seed)[0][key] for key in ("top1", "top3")}
        for name, logits in (("fastvit_alone", first), ("trunk_head_alone", second))
    }
    return {
        "weight": weight,
        "temperature": temperature,
        "figures": {**figures, **alone},
        "confusion": confusion,
    }


def measured(
    logits: Tensor, data: SceneData, seed: int
) -> tuple[dict[str, Any], NDArray[np.int64]]:
    """The figures of scaled `logits` [V, C] of the val images, and the confusion matrix [L, L]."""
    true = [CLASSES[kind] for kind in data.kind[data.val]]
    truth = np.array([LABELS.index(label) for label, _ in true])
    indoors = np.array([indoor for _, indoor in true])
    head = pocket_head({"classes": CLASSES, "temperature": 1.0})
    scenes = [scene_of(row, head) for row in logits.numpy()]  # computed as in the engine
    sure = np.array([scene.probability for scene in scenes])
    inside = np.array([scene.indoor for scene in scenes])
    order = np.array([[LABELS.index(label) for label, _ in scene.top] for scene in scenes])
    top1, top3 = order[:, 0] == truth, (order == truth[:, None]).any(1)
    confusion = np.zeros((len(LABELS), len(LABELS)), np.int64)
    np.add.at(confusion, (truth, order[:, 0]), 1)
    per_class = {
        label: {"accuracy": round(float(top1[truth == i].mean()), 3), "n": int((truth == i).sum())}
        for i, label in enumerate(LABELS)
        if (truth == i).any()
    }
    figures = {
        "top1": measure(top1.astype(float), seed),
        "top3": measure(top3.astype(float), seed),
        "indoor_outdoor": measure((inside == indoors).astype(float), seed),
        "ece": round(calibration_error(sure, top1), 4),
        "mean_class_accuracy": round(
            float(np.mean([c["accuracy"] for c in per_class.values()])), 4
        ),
        "note": "weight and temperature were chosen on the half of val that a picture is not in",
        "per_class": per_class,
    }
    return figures, confusion


def summary(report: dict[str, Any]) -> str:
    """The main figures in a few lines."""
    rows = [f"weight of the second network {report['weight']}, temperature {report['temperature']}"]
    rows += [f"{k}: {v}" for k, v in report["figures"].items() if k not in ("per_class", "note")]
    return "\n".join(rows)


def write(out: Path, card: dict[str, Any], report: dict[str, Any], data: SceneData) -> None:
    """Write `scenes.json` and `scenes_confusion.png`, and print the main figures."""
    counts = {
        "images": len(data.kind),
        "train_labelled": int((data.train & (data.kind >= 0)).sum()),
        "train_unlabelled": int((data.train & (data.kind < 0)).sum()),
        "val_labelled": int(data.val.sum()),
        "source_px": STORED_PX,
    }
    card |= {
        "classes": CLASSES,
        "temperature": report["temperature"],
        "data": counts,
        "figures": report["figures"],
    }
    write_card(out, card)
    draw_confusion(report["confusion"], out / "scenes_confusion.png")
    print(summary(report))


def write_card(out: Path, card: dict[str, Any]) -> None:
    """Write the card next to the weights, for the engine and for people."""
    (out / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def draw_confusion(confusion: NDArray[np.int_], path: Path) -> None:
    """Draw the confusion matrix, each row as shares of its true class."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    share = confusion / np.maximum(confusion.sum(1, keepdims=True), 1)
    figure, axes = pyplot.subplots(figsize=(11, 10), layout="constrained")
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(LABELS)), LABELS, rotation=90)
    axes.set_yticks(range(len(LABELS)), LABELS)
    for row, column in zip(*np.nonzero(share >= 0.1), strict=True):
        colour = "white" if share[row, column] > 0.5 else "black"
        text = f"{100 * share[row, column]:.0f}"
        axes.text(column, row, text, ha="center", va="center", size=7, color=colour)
    axes.set(xlabel="said", ylabel="truth", title="Scenes on val, % of each true class")
    figure.savefig(path, dpi=90)
    pyplot.close(figure)
