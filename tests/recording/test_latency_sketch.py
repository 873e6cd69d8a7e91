"""The spread of many durations: the stated error, and memory that does not grow."""

import pickle
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.recording.latency import spread
from engine.recording.latency_sketch import EXACT, RELATIVE_ERROR, LatencySketch

SHAPES: dict[str, Callable[[np.random.Generator, int], NDArray[np.float64]]] = {
    "lognormal": lambda rng, n: rng.lognormal(3.0, 1.0, n),
    "two modes": lambda rng, n: (
        np.where(rng.random(n) < 0.7, 20.0, 700.0) * rng.uniform(0.9, 1.1, n)
    ),
    "constant": lambda _, n: np.full(n, 33.3),
    "with zeros": lambda rng, n: np.maximum(0.0, rng.normal(1.0, 2.0, n)),
}


def sketch_of(values: list[float]) -> LatencySketch:
    sketch = LatencySketch()
    for value in values:
        sketch.add(value)
    return sketch


@pytest.mark.parametrize("shape", SHAPES)
def test_percentiles_are_within_the_stated_error(shape: str) -> None:
    values = SHAPES[shape](np.random.default_rng(1), 20_000)
    found = sketch_of(values.tolist()).spread()
    assert found["n"] == 20_000
    assert found["mean"] == pytest.approx(values.mean(), abs=0.001)
    assert found["max"] == pytest.approx(values.max(), abs=0.001)
    for name, share in (("p50", 50), ("p95", 95)):
        exact = float(np.percentile(values, share, method="lower"))
        assert found[name] == pytest.approx(exact, rel=RELATIVE_ERROR, abs=0.001)


@given(st.lists(st.floats(-1.0, 1e5), min_size=1, max_size=EXACT))
@settings(max_examples=50, deadline=None)
def test_a_short_session_is_exact(values: list[float]) -> None:
    assert sketch_of(values).spread() == spread(values)


def test_memory_does_not_grow_with_the_walk() -> None:
    values = np.random.default_rng(2).lognormal(3.0, 0.8, 200_000).tolist()
    hour, ten = (len(pickle.dumps(sketch_of(values[:n]))) for n in (20_000, 200_000))
    assert ten < 1.3 * hour
