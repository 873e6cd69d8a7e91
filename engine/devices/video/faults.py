"""What was wrong in a video: the first fault of a kind is told where it is, the others at the end."""

from collections import Counter, deque
from typing import Literal

from engine.core.errors import SourceNotice, SourceStatus

FaultKind = Literal["damaged", "gap", "back", "disorder"]

# Kind: what is said, what the log says, and what was done about it.
KINDS: dict[FaultKind, tuple[SourceStatus | None, str, str]] = {
    "damaged": ("video_damaged", "a part is damaged", "went on at the next key frame"),
    "gap": ("video_jumped", "the time jumps ahead", "shortened the gap"),
    "back": ("video_jumped", "the time is set back", "went on from there"),
    "disorder": (None, "a time stamp is repeated or out of order", "estimated the time"),
}


class Faults:
    """Counts the faults of the video called `name`; `pop` gives what has not been told yet."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._counts: Counter[FaultKind] = Counter()
        self._spoken: set[SourceStatus] = set()
        self._notices: deque[SourceNotice] = deque()

    def add(self, kind: FaultKind, where: str) -> None:
        """A fault of this kind; `where` completes the sentence of the log."""
        self._counts[kind] += 1
        if self._counts[kind] == 1:
            status, what, action = KINDS[kind]
            said = None if status in self._spoken else status
            if said is not None:
                self._spoken.add(said)
            self._notices.append(
                SourceNotice(said, f"{self._name}: {what} {where}", action, "video")
            )

    @property
    def set_back(self) -> bool:
        """Whether the time was set back, so that the last stamp is not the largest."""
        return self._counts["back"] > 0

    def finish(self) -> None:
        """The video has ended: tell how often the faults occurred that were told once."""
        for kind, count in self._counts.items():
            if count > 1:
                _, what, action = KINDS[kind]
                detail = f"{self._name}: {what}, in {count} places"
                self._notices.append(SourceNotice(None, detail, action, "video"))
        self._counts.clear()

    def pop(self) -> SourceNotice | None:
        return self._notices.popleft() if self._notices else None
