"""The baseline that every router must beat: escalates a random share of the frames."""

from hashlib import blake2b

from engine.core.answer import Decision
from engine.core.glance import Glance
from routers.threshold import decide


class Random:
    """Scores each frame by a hash of its number and the seed, uniform in [0, 1).

    A hash, not a random generator, so a frame's score does not depend on earlier frames and a
    replay repeats the session's decisions. The share escalated is 1 - threshold.
    """

    name = "random"

    def __init__(self, threshold: float, seed: int = 0) -> None:
        self._threshold = threshold
        self._seed = seed

    def decide(self, glance: Glance) -> Decision:
        """Decide by `glance.frame.seq` alone."""
        key = f"{self._seed}:{glance.frame.seq}".encode()
        bits = int.from_bytes(blake2b(key, digest_size=8).digest(), "big")
        score = (bits >> 11) / 2**53  # 53 bits fit a float exactly, so the score is below 1.0
        return decide(score, self._threshold, (f"chance {score:.2f}",))
