"""Runs the describer in its own thread, so that a slow or hung one never blocks the answer."""

from collections.abc import Generator
from contextlib import suppress

from engine.core.camera import Frame
from engine.core.errors import DescriberFailed
from engine.core.ports import Clock, Describes
from engine.core.worker import Task, Worker


class DescriberWorker:
    """The describer's thread. A task's `begun_s` is the time of its first token."""

    def __init__(self, describer: Describes, wall: Clock) -> None:
        self._describer = describer
        self._wall = wall
        self._worker: Worker[str] = Worker("describer", DescriberFailed, wall)

    def start(self, frame: Frame, prompt: str | None = None) -> Task[str]:
        """Start describing `frame` and cancel the previous task, without waiting.

        `prompt` None means the model's default. Raises DescriberFailed if an earlier task hangs.
        """

        def work(task: Task[str]) -> Generator[str, None, None]:
            def first_token() -> None:
                task.begun_s = self._wall.now()

            yield from self._describer.describe(frame, first_token, prompt)

        return self._worker.start(work)

    def prefetch(self, frame: Frame, prompt: str | None = None) -> None:
        """Prepare the description of `frame` before the request, without waiting. A failure is not
        reported here: describing the frame fails again."""

        def work(task: Task[str]) -> Generator[str, None, None]:
            for _ in self._describer.look(frame, prompt):
                if task.cancelled_s is not None:
                    return
            yield from ()

        with suppress(DescriberFailed):
            self._worker.start(work)

    def cancel(self, task: Task[str]) -> None:
        """Let the task end after its next clause."""
        self._worker.cancel(task)

    def close(self) -> None:
        """Stop the description in progress and the thread; a hung one is abandoned."""
        self._describer.stop()
        self._worker.close()
