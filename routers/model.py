"""The model of the learned routers: predicts how much better the full answer would be.

It is stored as plain JSON (`routers/learned.json`) and evaluated here. scikit-learn trains it
(`python -m experiments.router.train`) and is not needed at run time. It knows
neither glances nor thresholds.
"""

import math
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from engine.core.errors import MissingPart
from routers.features import FEATURES, FeatureVector

LEARNED = Path(__file__).with_name("learned.json")
VERSION = 1


@dataclass(frozen=True, slots=True)
class Tree:
    """A regression tree as lists by node, root first. Node i is a leaf if left[i] < 0. A feature at
    or below the threshold goes left. `value` is each node's mean, in units of quality."""

    feature: tuple[int, ...]
    threshold: tuple[float, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    value: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Ascending scores of `pictures` held-out images: `better` of those with a full answer that is
    better by more than `margin`, `hazards` of those where only the full answer names a near
    hazard."""

    pictures: int
    margin: float
    better: tuple[float, ...]
    hazards: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """gain = bias + weights · (x - means) + sum of the trees, in units of quality ([-1, 1]). The
    probability of a gain above the calibration's margin is 1 / (1 + exp(-(slope · gain +
    intercept)))."""

    version: int
    features: tuple[str, ...]
    means: tuple[float, ...]
    bias: float
    weights: tuple[float, ...]
    trees: tuple[Tree, ...]
    slope: float
    intercept: float
    calibration: Calibration
    trained: str

    def contributions(self, vector: FeatureVector) -> FeatureVector:
        """The contribution of each feature to the gain, (n,) in the order of `features`."""
        x = vector[[_FEATURE_INDEX[name] for name in self.features]]
        found: FeatureVector = np.asarray(self.weights) * (x - np.asarray(self.means))
        # The trees were trained on float32 features with float64 thresholds; NumPy rounds both.
        single = [float(value) for value in x.astype(np.float32)]
        for tree in self.trees:
            node = 0
            while tree.left[node] >= 0:
                feature = tree.feature[node]
                goes_left = single[feature] <= tree.threshold[node]
                child = tree.left[node] if goes_left else tree.right[node]
                found[feature] += tree.value[child] - tree.value[node]
                node = child
        return found

    def gain(self, vector: FeatureVector) -> float:
        """How much better the full answer is expected to be; negative if worse."""
        return (
            self.bias
            + math.fsum(tree.value[0] for tree in self.trees)
            + float(self.contributions(vector).sum())
        )

    def probability(self, gain: float) -> float:
        """The calibrated probability, in (0, 1), that the gain is above the margin."""
        return 1.0 / (1.0 + math.exp(-max(-50.0, min(50.0, self.slope * gain + self.intercept))))


_FEATURE_INDEX = {name: index for index, name in enumerate(FEATURES)}
_MODEL = TypeAdapter(Model)


@cache
def read_model(path: Path = LEARNED) -> Model:
    """The model in `path`. Raises MissingPart if it is missing or invalid."""
    remedy = "train it with python -m experiments.router.train, or use router=rules"
    try:
        model = _MODEL.validate_json(path.read_bytes())
        _check(model)
    except FileNotFoundError as error:
        raise MissingPart(f"router: expected {path}, found none; {remedy}") from error
    except (OSError, ValueError) as error:
        detail = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise MissingPart(
            f"router: expected a learned router in {path}, got '{detail}'; {remedy}"
        ) from error
    return model


def _check(model: Model) -> None:
    """Raises ValueError for errors that the types do not exclude."""
    if model.version != VERSION:
        raise ValueError(f"version {model.version}, expected {VERSION}")
    if unknown := [name for name in model.features if name not in FEATURES]:
        raise ValueError(f"unknown feature {unknown[0]}")
    size = len(model.features)
    if not size == len(model.means) == len(model.weights):
        raise ValueError("features, means and weights differ in number")
    for tree in model.trees:
        nodes = len(tree.feature)
        if not nodes == len(tree.threshold) == len(tree.left) == len(tree.right) == len(tree.value):
            raise ValueError("a tree's lists differ in length")
        for node in range(nodes):
            children = (tree.left[node], tree.right[node])
            inner = tree.left[node] >= 0
            # children must follow their parent, so that every evaluation ends
            if inner and not (
                all(node < child < nodes for child in children) and 0 <= tree.feature[node] < size
            ):
                raise ValueError("a tree has an invalid child or feature")
    numbers = (model.bias, model.slope, model.intercept, *model.weights, *model.means)
    if not all(math.isfinite(number) for number in numbers):
        raise ValueError("a number is not finite")
