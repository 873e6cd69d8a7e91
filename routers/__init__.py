"""Who answers a request: the quick tier's templates or the full tier's describer.

Routers see a glance and nothing else; they import neither torch nor the models.
"""

from routers.always import Always
from routers.random import Random
from routers.rules import Rules

__all__ = ["Always", "Random", "Rules"]
