"""The baseline that any router has to beat: escalates a share of the frames, whatever they show."""

from hashlib import blake2b

from engine.core.answer import Decision
from engine.core.glance import Glance
from routers.threshold import decide


class Random:
    """Scores each frame by a hash of its number and the seed, uniform in [0, 1).

    A hash and not a generator, so that a frame's score does not depend on which came before it and
    a replay decides as the session did. The share escalated is 1 - threshold.
    """

    name = "random"

    def __init__(self, threshold: float, seed: int = 0) -> None:
        self._threshold = threshold
        self._seed = seed

    def decide(self, glance: Glance) -> Decision:
        """Decides by `glance.frame.seq` alone."""
        key = f"{self._seed}:{glance.frame.seq}".encode()
        bits = int.from_bytes(blake2b(key, digest_size=8).digest(), "big")
        score = (bits >> 11) / 2**53  # 53 bits fill a float exactly, so 1.0 is never reached
        return decide(score, self._threshold, (f"chance {score:.2f}",))
