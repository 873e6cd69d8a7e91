"""Measures the rows of FastVLM's latency table: each recipe opened, warmed up and timed.

A recipe that is missing or fails gives rows with the reason in one line. A time budget drops
repeats, never rows.
"""

import contextlib
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from subprocess import run
from typing import Any

from engine.core.errors import in_one_line
from engine.recording.latency import spread
from experiments.fastvlm.bench import Bench, OpenRecipe, Question, TimedAnswer, release
from experiments.fastvlm.floor import AnswerWork, DeviceLimits, Floor
from experiments.fastvlm.recipes import Recipe

MEGA = 1 << 20
WARM_UP_TOKENS = 2  # one prompt and one step


@dataclass(frozen=True, slots=True)
class Timings:
    """The times of one row's answers in milliseconds, as (p50, p95)."""

    encoder: tuple[float, float]
    prefill: tuple[float, float]
    token: tuple[float, float]  # each after the first
    first: tuple[float, float]  # the first token, counted from the question
    total: tuple[float, float]

    @classmethod
    def of(cls, answers: Sequence[TimedAnswer], count: int) -> "Timings":
        """Over the first `count` tokens of each answer."""

        def both(values: list[float]) -> tuple[float, float]:
            found = spread(values)
            return found["p50"], found["p95"]

        return cls(
            both([a.encoded_ms for a in answers]),
            both([a.prefill_ms() for a in answers]),
            both([a.token_ms(count) for a in answers]),
            both([a.known_ms[0] for a in answers]),
            both([a.known_ms[count - 1] for a in answers]),
        )


@dataclass(frozen=True)
class LatencyRow:
    """One recipe at one size and length; without `times`, `why` says what is missing."""

    recipe: str
    backend: str
    precisions: tuple[str, str]
    side_px: int
    tokens: int
    why: str = ""
    note: str = ""
    runs: int = 0
    times: Timings | None = None
    floor: Floor | None = None
    start_s: float = 0.0
    warm_s: float = 0.0
    memory_mb: dict[str, float] = field(default_factory=dict)

    def p50(self) -> float:
        """The median of the total; infinite if nothing was measured, so that such rows come
        last.
        """
        return float("inf") if self.times is None else self.times.total[0]

    def json(self) -> dict[str, Any]:
        floor_ms = None if self.floor is None else round(self.floor.total_ms, 3)
        return asdict(self) | {"floor_total_ms": floor_ms}


@dataclass
class TimeBudget:
    """Shares the remaining time of `minutes` among the rows that are still to be measured."""

    minutes: float
    rows: int
    dropped: int = 0  # repeats

    def __post_init__(self) -> None:
        self._end_s = time.perf_counter() + 60 * self.minutes

    def share_s(self, rows: int) -> float:
        """The seconds for the next `rows` rows, which count as done."""
        left_s = max(0.0, self._end_s - time.perf_counter())
        share = left_s * rows / max(rows, self.rows)
        self.rows -= rows
        return share


@dataclass(frozen=True)
class Plan:
    """The question for every recipe."""

    sides: tuple[int, ...]
    tokens: tuple[int, ...]
    repeats: int
    machine: DeviceLimits
    work: AnswerWork
    questions: dict[int, Question]


def measure(bench: Bench, recipe: Recipe, plan: Plan, budget: TimeBudget) -> Iterator[LatencyRow]:
    """Yield a row for each size and length. Catches every error of a recipe."""
    opened: OpenRecipe | None = None
    begin_s = time.perf_counter()
    _forget_peaks(bench.device)
    why = ""
    try:
        opened = recipe.open(bench)
    except Exception as error:
        why = in_one_line(error)
    open_s = time.perf_counter() - begin_s
    for side in plan.sides:
        share_s = budget.share_s(len(plan.tokens))
        rows: list[LatencyRow] = []
        try:
            if opened is not None:
                rows = _at_side(bench, recipe, opened, plan, side, budget, (open_s, share_s))
        except Exception as error:
            why = in_one_line(error)
            release(bench.device)
        yield from rows or [
            LatencyRow(
                recipe.name, recipe.backend, recipe.precisions, side, count, why or "no answer"
            )
            for count in plan.tokens
        ]


def _at_side(
    bench: Bench,
    recipe: Recipe,
    opened: OpenRecipe,
    plan: Plan,
    side: int,
    budget: TimeBudget,
    times_s: tuple[float, float],
) -> list[LatencyRow]:
    open_s, share_s = times_s
    question = plan.questions[side]
    begin_s = time.perf_counter()
    opened.prepare(question)
    aimed_s = time.perf_counter()
    for count in (WARM_UP_TOKENS,) if opened.streams else plan.tokens:
        opened.answer(question, count)  # compiles and captures everything for this size
    warm_s = time.perf_counter()
    end_s = begin_s + share_s
    answers = _answers(opened, question, plan, end_s, budget)
    memory = _memory(bench.device)
    asked = len(question.ids)
    return [
        LatencyRow(
            recipe.name, recipe.backend, recipe.precisions, side, count, "", opened.note(),
            len(found), Timings.of(found, count),
            None if recipe.backend == "quick"  # a different network
            else plan.work.floor(plan.machine, side, asked, count, recipe.precisions),
            open_s + aimed_s - begin_s, warm_s - aimed_s, memory,
        )
        for count, found in answers.items()
    ]  # fmt: skip


def _answers(
    opened: OpenRecipe, question: Question, plan: Plan, end_s: float, budget: TimeBudget
) -> dict[int, list[TimedAnswer]]:
    """Answers by length. If tokens arrive one by one, the longest answers contain the shorter
    ones.
    """
    lengths = (max(plan.tokens),) if opened.streams else plan.tokens
    found: dict[int, list[TimedAnswer]] = {length: [] for length in lengths}
    for turn in range(plan.repeats):
        for length in lengths:
            if turn and time.perf_counter() > end_s:
                budget.dropped += 1
                continue
            answer = opened.answer(question, length)
            if len(answer.tokens) != length:
                raise ValueError(f"expected {length} tokens, got {len(answer.tokens)}")
            found[length].append(answer)
    return {count: found[max(lengths) if opened.streams else count] for count in plan.tokens}


def _forget_peaks(device: str) -> None:
    import torch

    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _memory(device: str) -> dict[str, float]:
    """MiB on a graphics card: now, and the peak since the recipe was opened. On a CPU,
    `resident` measures it in a separate process, since one process retains memory of every recipe.
    """
    import torch

    if device != "cuda":
        return {}
    return {
        "allocated": torch.cuda.memory_allocated() / MEGA,
        "allocated_peak": torch.cuda.max_memory_allocated() / MEGA,
        "reserved_peak": torch.cuda.max_memory_reserved() / MEGA,
    }


def resident(bench: Bench, recipe: Recipe, side: int, count: int) -> dict[str, float]:
    """MiB of a separate process that opens `recipe` and answers once; empty if it fails."""
    command = [
        sys.executable, "-m", "experiments.fastvlm.memory", "--checkpoint", str(bench.folder),
        "--recipe", recipe.name, "--image-size", str(side), "--tokens", str(count),
    ]  # fmt: skip
    if bench.threads is not None:
        command += ["--threads", str(bench.threads)]
    done = run(command, capture_output=True, text=True, check=False)
    with contextlib.suppress(ValueError, IndexError):
        found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
        return found
    return {}
