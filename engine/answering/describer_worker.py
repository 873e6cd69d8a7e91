"""The describer's thread: clauses of a frame's description, as they come."""

from collections.abc import Generator
from contextlib import suppress

from engine.core.camera import Frame
from engine.core.errors import DescriberFailed
from engine.core.ports import Clock, Describer
from engine.core.worker import Task, Worker


class DescriberWorker:
    """Runs the describer in a thread of its own. A task's `begun_s` is its first token's time."""

    def __init__(self, describer: Describer, wall: Clock) -> None:
        self._describer = describer
        self._wall = wall
        self._worker: Worker[str] = Worker("describer", DescriberFailed, wall)

    def start(self, frame: Frame, prompt: str | None = None) -> Task[str]:
        """Begin to describe `frame`, cancelling what came before; never waits. `prompt` None is the
        model's own. Raises DescriberFailed when the describer hangs in an earlier picture."""

        def work(task: Task[str]) -> Generator[str, None, None]:
            def first_token() -> None:
                task.begun_s = self._wall.now()

            yield from self._describer.describe(frame, first_token, prompt)

        return self._worker.start(work)

    def prefetch(self, frame: Frame, prompt: str | None = None) -> None:
        """Begin to describe `frame` already, as somebody may be about to ask; never waits. A failure is met
        again, and told, when the frame is described."""

        def work(task: Task[str]) -> Generator[str, None, None]:
            for _ in self._describer.look(frame, prompt):
                if task.cancelled_s is not None:
                    return
            yield from ()

        with suppress(DescriberFailed):
            self._worker.start(work)

    def cancel(self, task: Task[str]) -> None:
        """Let it end after its next clause."""
        self._worker.cancel(task)

    def close(self) -> None:
        """Stop the thread, but do not wait for a hung one."""
        self._worker.close()
