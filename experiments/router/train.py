"""Trains `router=learned` on stored outputs of both tiers and writes routers/learned.json.

`python -m experiments.router.train` makes the recordings that are missing
(`experiments.router.records`) and fits a ridge regression and small gradient boosting to the gain:
the quality of the full answer minus that of the quick one. It keeps the better of both by the
cross-validated lift, maps the gain to the probability of more than a margin (Platt's method on the
cross-validated predictions), and stores the scores of the calibration set for `router=conformal`.
The `test` sets are not opened. Needs the extra `train`.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.config import QualityConfig
from engine.core.errors import MissingPart
from engine.core.extras import pip_install
from engine.evaluation import stored_outputs as records
from engine.evaluation.stored_outputs import Record, StoredAnswer
from experiments.common import command_parser, hardware, last_line
from experiments.router.curves import MARGIN, Outcomes, auroc, curve, judged, outcomes
from experiments.router.data import TRAINED
from experiments.router.records import add_record_arguments, make_recordings, recording
from routers.features import FEATURES, features
from routers.model import LEARNED, VERSION, Calibration, Model, Tree

FOLDS = 5
SEED = 0
Matrix = NDArray[np.float64]  # (images, features)


def candidates() -> dict[str, Any]:
    """Name → an estimator, unfitted."""
    from sklearn.ensemble import GradientBoostingRegressor
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return {
        "ridge": make_pipeline(StandardScaler(), RidgeCV(alphas=np.logspace(-1, 4, 21))),
        "boosting": GradientBoostingRegressor(
            n_estimators=120,
            max_depth=2,
            learning_rate=0.05,
            subsample=0.7,
            min_samples_leaf=20,
            random_state=SEED,
        ),
    }


def load(work: Path, name: str) -> list[Record]:
    """The judged records of a set."""
    return judged(records.read(recording(work, name))[1])


def matrix_of(kept: Sequence[Record]) -> Matrix:
    return np.array([features(record.glance()) for record in kept])


def filled(kept: Sequence[Record], means: tuple[float, float]) -> list[Record]:
    """Give images without captions each tier's mean CIDEr-D over those with captions.

    Without it, most of a full answer's gain would be missing there, and the model would learn to
    tell the sets apart.
    """
    return [
        replace(record, quick=_filled(record.quick, means[0]), full=_filled(record.full, means[1]))
        for record in kept
    ]


def _filled(answer: StoredAnswer, mean: float) -> StoredAnswer:
    if answer.parts is None or answer.parts.caption is not None:
        return answer
    return replace(answer, parts=replace(answer.parts, caption=mean))


def caption_means(kept: Sequence[Record]) -> tuple[float, float]:
    """Mean CIDEr-D of the (quick, full) answers over the images that have captions."""
    found = [
        [
            answer.parts.caption
            for answer in answers
            if answer.parts is not None and answer.parts.caption is not None
        ]
        for answers in ([r.quick for r in kept], [r.full for r in kept])
    ]
    return float(np.mean(found[0])), float(np.mean(found[1]))


def trees_of(fitted: Any) -> tuple[tuple[Tree, ...], float]:
    """(trees, bias) of a fitted gradient boosting; each tree's values include the learning rate."""
    trees = []
    for (regressor,) in fitted.estimators_:
        tree = regressor.tree_
        trees.append(
            Tree(
                tuple(int(i) for i in np.maximum(tree.feature, 0)),
                tuple(float(t) for t in tree.threshold),
                tuple(int(i) for i in tree.children_left),
                tuple(int(i) for i in tree.children_right),
                tuple(float(v * fitted.learning_rate) for v in tree.value[:, 0, 0]),
            )
        )
    return tuple(trees), float(fitted.init_.constant_[0, 0])


def model_of(name: str, fitted: Any, matrix: Matrix, platt: Any, trained: str) -> Model:
    """The fitted estimator as our own Model, without calibration."""
    count = matrix.shape[1]
    weights, means, trees = np.zeros(count), matrix.mean(axis=0), tuple[Tree, ...]()
    if name == "ridge":
        scaler, ridge = fitted[0], fitted[1]
        weights, means, bias = ridge.coef_ / scaler.scale_, scaler.mean_, float(ridge.intercept_)
    else:
        trees, bias = trees_of(fitted)
    return Model(
        version=VERSION,
        features=tuple(FEATURES),
        means=tuple(map(float, means)),
        bias=bias,
        weights=tuple(map(float, weights)),
        trees=trees,
        slope=float(platt.coef_[0, 0]),
        intercept=float(platt.intercept_[0]),
        calibration=Calibration(0, MARGIN, (), ()),
        trained=trained,
    )


def calibrated(model: Model, matrix: Matrix, found: Outcomes) -> Model:
    """The model with the calibration scores by which `router=conformal` sets its threshold."""
    score = np.array([model.probability(model.gain(vector)) for vector in matrix])
    calibration = Calibration(
        len(score),
        MARGIN,
        tuple(sorted(map(float, score[found.gain > MARGIN]))),
        tuple(sorted(map(float, score[found.only_full_names]))),
    )
    return Model(
        **{name: getattr(model, name) for name in Model.__slots__} | {"calibration": calibration}
    )


def rounded(value: Any) -> Any:
    """Every float to seven significant digits, which is more than single precision holds."""
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list | tuple) else value


def train(work: Path, out: Path) -> dict[str, Any]:
    """Fit, choose, calibrate, write; return the figures."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold, cross_val_predict

    kept = [record for name in TRAINED for record in load(work, name)]
    matrix = matrix_of(kept)
    found = outcomes(filled(kept, caption_means(kept)), QualityConfig())
    folds = KFold(FOLDS, shuffle=True, random_state=SEED)
    guesses = {
        name: cross_val_predict(estimator, matrix, found.gain, cv=folds)
        for name, estimator in candidates().items()
    }
    figures: dict[str, Any] = {
        name: {
            "lift": round(curve(guess, found).lift, 4),
            "correlation": round(float(np.corrcoef(guess, found.gain)[0, 1]), 4),
            "auroc": round(auroc(guess, found.gain > MARGIN), 4),
        }
        for name, guess in guesses.items()
    }
    count = matrix[:, list(FEATURES).index("obstacle_count")]
    figures["count"] = {"lift": round(curve(count, found).lift, 4)}
    best = max(guesses, key=lambda name: figures[name]["lift"])
    platt = LogisticRegression(C=1e6).fit(guesses[best][:, None], found.gain > MARGIN)
    fitted = candidates()[best].fit(matrix, found.gain)
    trained = f"{best} on {len(found)} pictures, {FOLDS} folds, seed {SEED}"
    model = model_of(best, fitted, matrix, platt, trained)
    ours = np.array([model.gain(vector) for vector in matrix])
    gap = float(np.abs(ours - fitted.predict(matrix)).max())
    if gap > 1e-6:
        raise SystemExit(f"error: the stored form differs from scikit-learn's by {gap:.2g}")
    held_out = load(work, "calibration")
    model = calibrated(model, matrix_of(held_out), outcomes(held_out, QualityConfig()))
    out.write_text(json.dumps(rounded(asdict(model))) + "\n", encoding="utf-8")
    figures["chosen"] = best
    figures["pictures"] = len(found)
    figures["gain_mean"] = round(float(found.gain.mean()), 4)
    figures["calibration_pictures"] = len(held_out)
    figures["bytes"] = out.stat().st_size
    return figures


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.router.train", __doc__)
    add_record_arguments(parser)
    parser.add_argument("--out", type=Path, default=LEARNED)
    args = parser.parse_args(arguments)

    def measure() -> dict[str, Any]:
        if find_spec("sklearn") is None:
            raise MissingPart(f"scikit-learn is not installed; run: {pip_install('train')}")
        make_recordings(args, (*TRAINED, "calibration"))
        return hardware() | train(args.work, args.out) | {"out": str(args.out)}

    return last_line("experiments.router.train", measure)


if __name__ == "__main__":
    sys.exit(main())
