"""The spread of any number of durations, in memory that does not grow with a walk of hours."""

from ddsketch import DDSketch

from engine.recording.latency import spread

EXACT = 256  # values, up to which percentiles are exact
RELATIVE_ERROR = 0.002  # of percentiles beyond that; DDSketch (Masson, Rim and Lee, VLDB 2019)


class LatencySketch:
    """Durations in milliseconds. Exact up to EXACT values; beyond, p50 and p95 are within
    RELATIVE_ERROR, and the rest stays exact."""

    def __init__(self) -> None:
        self._first: list[float] = []
        self._sketch = DDSketch(RELATIVE_ERROR)
        self._n = 0
        self._sum = self._max = 0.0

    def add(self, value_ms: float) -> None:
        self._max = value_ms if self._n == 0 else max(self._max, value_ms)
        self._n += 1
        self._sum += value_ms
        self._sketch.add(value_ms)
        if self._n <= EXACT:
            self._first.append(value_ms)

    def spread(self) -> dict[str, float]:
        """n, mean, p50, p95 and max, of at least one value."""
        if self._n <= EXACT:
            return spread(self._first)
        return {
            "n": self._n,
            "mean": round(self._sum / self._n, 3),
            "p50": round(self._sketch.get_quantile_value(0.5), 3),
            "p95": round(self._sketch.get_quantile_value(0.95), 3),
            "max": round(self._max, 3),
        }
