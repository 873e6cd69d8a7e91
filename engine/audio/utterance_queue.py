"""Who is heard next: the order of what waits.

Pure and without a clock or a lock; `engine.audio.scheduler` asks it once per block. Must not know: sound.
"""

from collections.abc import Callable, Iterable

from engine.core.priority import Priority
from engine.core.utterance import Utterance

SAME_DIRECTION_DEG = 15.0


class UtteranceQueue:
    """Utterances that wait, in the order in which they came.

    The next is: a critical one; else the next clause of the answer under way; else the highest
    priority, the earlier where equal. Clauses of one answer keep their order. Alerts, statuses and
    what goes on after a cut wait for the gap after the last alert, which only a critical one skips;
    while the foremost waits, nothing lesser overtakes it.
    """

    def __init__(self) -> None:
        self.waiting: list[Utterance] = []
        self._answer: int | None = None  # the answer under way

    def add(self, utterance: Utterance) -> list[Utterance]:
        """Queue `utterance`; return what it superseded. An alert takes the place of those that were
        queued before it, lie in its direction (within 15 degrees) and have no higher priority."""
        replaced = self.take(lambda u: _replaces(utterance, u))
        self.waiting.append(utterance)
        return replaced

    def put_back(self, utterance: Utterance) -> None:
        """Queue what was cut off before all that waits."""
        self.waiting.insert(0, utterance)

    def take(self, applies: Callable[[Utterance], bool]) -> list[Utterance]:
        """Remove and return those for which `applies`."""
        taken = [u for u in self.waiting if applies(u)]
        if taken:
            self.waiting = [u for u in self.waiting if not applies(u)]
        return taken

    def interrupts(self, speaking: Utterance) -> bool:
        """Whether something critical may come next and what is being said is not. A clause waits for
        those before it in its answer, or each would be cut off and said again for ever."""
        return not is_critical(speaking) and any(
            map(is_critical, _heads([speaking, *self.waiting]))
        )

    def next(self, gap_over: bool, answer_first: bool = False) -> Utterance | None:
        """Remove and return whose turn it is to speak, or None while nobody may. `answer_first`:
        an answer is expected, and only what is critical goes before it."""
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
        under_way = [u for u in answers if u.answer == self._answer is not None]
        if under_way:
            best = under_way[0]
        elif answer_first:
            if not answers:
                return None
            best = answers[0]
        flows_on = best.kind == "answer" and best.resumes is None
        return best if gap_over or flows_on else None


def is_critical(utterance: Utterance) -> bool:
    """Whether `utterance` may cut off what is being said."""
    return utterance.priority >= Priority.CRITICAL


def _heads(waiting: Iterable[Utterance]) -> list[Utterance]:
    """All that may come next: of an answer, only its first clause."""
    seen: set[int] = set()
    heads: list[Utterance] = []
    for utterance in waiting:
        if utterance.kind == "answer" and utterance.answer is not None:
            if utterance.answer in seen:
                continue
            seen.add(utterance.answer)
        heads.append(utterance)
    return heads


def _replaces(new: Utterance, old: Utterance) -> bool:
    """Alerts of one moment are about different things and never replace each other."""
    apart_deg = abs((new.azimuth_deg - old.azimuth_deg + 180.0) % 360.0 - 180.0)
    return (
        new.kind == old.kind == "alert"
        and bool(new.text) == bool(old.text)
        and old.queued_s < new.queued_s
        and old.priority <= new.priority
        and apart_deg <= SAME_DIRECTION_DEG
    )
