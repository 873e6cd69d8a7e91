"""How a command that measures ends: with its figures as one line of JSON, or with one line that says why
there are none."""

import json
import sys
from collections.abc import Callable
from typing import Any

from engine.core.errors import EngineError


def last_line(command: str, measure: Callable[[], dict[str, Any]]) -> int:
    """Print what `measure` returns; the exit status: 0, or 2 where it raised an EngineError."""
    try:
        found = measure()
    except EngineError as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found))
    return 0
