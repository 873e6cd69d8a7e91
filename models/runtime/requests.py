"""An infer request that any thread can stop: a process that ends while a network runs aborts."""

import threading
from typing import Any

from engine.core.errors import RunError

CANCEL_S = 0.02  # between two attempts to cancel
ATTEMPTS = 100


class StoppableRequest:
    """One OpenVINO infer request. All but `stop` are to be called from one thread. Once stopped, it
    raises `failure`."""

    def __init__(self, graph: Any, failure: type[RunError]) -> None:
        self._request = graph.create_infer_request()
        self._failure = failure
        self._stopped = False
        self._idle = threading.Event()
        self._idle.set()

    def infer(self, inputs: Any) -> Any:
        """The first output, which is valid until the next call. Raises `failure` and OpenVINO's
        errors."""
        self._idle.clear()
        try:
            if not self._stopped:
                self._request.infer(inputs)
        except RuntimeError:
            if not self._stopped:
                raise
        finally:
            self._idle.set()
        if self._stopped:
            raise self._failure("stopped")
        return self._request.get_output_tensor().data

    def stop(self) -> None:
        """Abandon the inference that runs, and refuse later ones; waits two seconds at most.
        OpenVINO looks at the cancellation between two layers."""
        self._stopped = True
        for _ in range(ATTEMPTS):
            if self._idle.wait(CANCEL_S):
                return
            self._request.cancel()

    def states(self) -> list[Any]:
        """The key-value caches, which can be read and set."""
        states: list[Any] = self._request.query_state()
        return states

    def reset_state(self) -> None:
        """Empty the key-value caches."""
        self._request.reset_state()
