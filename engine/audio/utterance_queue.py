"""Orders the waiting utterances and decides which is heard next.

Pure, without a clock or a lock; `engine.audio.scheduler` asks it once per block. Must not know how
sound is made.
"""

from collections.abc import Callable, Iterable

from engine.core.priority import Priority
from engine.core.utterance import Utterance

SAME_DIRECTION_DEG = 15.0


class UtteranceQueue:
    """The waiting utterances in order of arrival.

    The next utterance is a critical one, else the next clause of the current answer, else the one
    with the highest priority, or the earliest of these. Clauses of one answer keep their order, but
    a status that gives a reason (`Priority.REASON`) is heard before the next clause.
    Alerts, statuses (but not "Ready.") and resumed clauses wait for the gap after the last alert;
    critical ones skip it. While the next utterance waits for the gap, no other overtakes it.
    """

    def __init__(self) -> None:
        self.waiting: list[Utterance] = []
        self._answer: int | None = None  # the current answer

    def add(self, utterance: Utterance) -> list[Utterance]:
        """Queue `utterance` and return those that it supersedes: those about the
        same matter, and, by an alert, earlier alerts within 15 degrees of its direction, unless
        they have a higher priority."""
        superseded = self.take(lambda u: _supersedes(utterance, u))
        self.waiting.append(utterance)
        return superseded

    def put_back(self, utterance: Utterance) -> None:
        """Queue an interrupted utterance in front of all others."""
        self.waiting.insert(0, utterance)

    def take(self, applies: Callable[[Utterance], bool]) -> list[Utterance]:
        """Remove and return the utterances for which `applies` is true."""
        taken = [u for u in self.waiting if applies(u)]
        if taken:
            self.waiting = [u for u in self.waiting if not applies(u)]
        return taken

    def interrupts(self, speaking: Utterance) -> bool:
        """Whether a critical utterance may interrupt `speaking`, which is not critical itself. A
        clause waits for the earlier clauses of its answer: otherwise each would be interrupted and
        resumed forever."""
        return not is_critical(speaking) and any(
            map(is_critical, _heads([speaking, *self.waiting]))
        )

    def next(self, gap_over: bool, answer_first: bool = False) -> Utterance | None:
        """Remove and return the next utterance, or None while all must wait. With `answer_first`,
        an answer is expected, and only a critical utterance or "Ready." goes before it."""
        chosen = self._choose(gap_over, answer_first)
        if chosen is not None:
            self.waiting.remove(chosen)
            if not is_critical(chosen):
                self._answer = chosen.answer if chosen.kind == "answer" else None
        return chosen

    def _choose(self, gap_over: bool, answer_first: bool) -> Utterance | None:
        heads = _heads(self.waiting)
        if not heads:
            return None
        best = max(heads, key=lambda u: u.priority)
        if is_critical(best):
            return best
        answers = [u for u in heads if u.kind == "answer"]
        current = [u for u in answers if u.answer == self._answer is not None]
        reasons = [u for u in heads if u.priority == Priority.REASON]
        if reasons and (current or answer_first):  # one who keeps asking would never hear it
            best = reasons[0]
        elif current:
            best = current[0]
        elif answer_first:
            expected = [u for u in heads if _is_answer_like(u)]
            if not expected:
                return None
            best = max(expected, key=lambda u: u.priority)
        return best if gap_over or (_is_answer_like(best) and best.resumes is None) else None


def is_critical(utterance: Utterance) -> bool:
    """Whether `utterance` may interrupt another."""
    return utterance.priority >= Priority.CRITICAL


def _is_answer_like(utterance: Utterance) -> bool:
    """An answer, or "Ready.", which comes before one."""
    return utterance.kind == "answer" or utterance.priority == Priority.READY


def _heads(waiting: Iterable[Utterance]) -> list[Utterance]:
    """The candidates for the next turn: of each answer, only its first clause."""
    seen: set[int] = set()
    heads: list[Utterance] = []
    for utterance in waiting:
        if utterance.kind == "answer" and utterance.answer is not None:
            if utterance.answer in seen:
                continue
            seen.add(utterance.answer)
        heads.append(utterance)
    return heads


def _supersedes(new: Utterance, old: Utterance) -> bool:
    """Alerts of the same moment are about different obstacles and never supersede each other."""
    apart_deg = abs((new.azimuth_deg - old.azimuth_deg + 180.0) % 360.0 - 180.0)
    if new.about is not None and new.about == old.about:
        return True
    return (
        new.kind == old.kind == "alert"
        and bool(new.text) == bool(old.text)
        and old.queued_s < new.queued_s
        and old.priority <= new.priority
        and apart_deg <= SAME_DIRECTION_DEG
    )
