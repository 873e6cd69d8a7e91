"""Routers: each decides whether the quick tier's templates or the full tier's describer answers.

A router sees a glance and nothing else; it imports neither torch nor the models.
"""

from routers.always import Always
from routers.budget import Budget
from routers.conformal import Conformal
from routers.count import Count
from routers.learned import Learned
from routers.random import Random
from routers.rules import Rules

__all__ = ["Always", "Budget", "Conformal", "Count", "Learned", "Random", "Rules"]
