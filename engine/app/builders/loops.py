"""Builds the loop that runs a session: live or batch."""

from typing import cast

from engine.app.batch import Batch
from engine.app.builders.sources import related
from engine.app.context import Parts
from engine.app.live import Live
from engine.config import Config
from engine.core.clock import VirtualClock
from engine.evaluation.scoring import Scorer


def build_loop(config: Config, parts: Parts, scorer: Scorer | None) -> Live | Batch:
    """The live loops in real time, or the batch in virtual time."""
    if config.source.realtime:
        return Live(parts, scorer)
    return Batch(parts, cast(VirtualClock, parts.timeline), related(config), scorer)
