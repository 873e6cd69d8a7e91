"""Runs the scene classifier in its own thread, so that a hung one never blocks the answer."""

from collections.abc import Generator

from engine.answering.draft import never
from engine.core.camera import Frame
from engine.core.errors import SceneFailed, SceneLate
from engine.core.glance import SceneClass
from engine.core.ports import ClassifiesScenes, Clock
from engine.core.worker import End, Task, Worker


class SceneWorker:
    """The scene classifier's thread. The caller waits `deadline_s` at most."""

    def __init__(self, scenes: ClassifiesScenes, wall: Clock, deadline_s: float) -> None:
        self._scenes = scenes
        self._wall = wall
        self._deadline_s = deadline_s
        self._worker: Worker[SceneClass] = Worker("scenes", SceneFailed, wall)

    def classify(self, frame: Frame) -> SceneClass:
        """Classify `frame`. Raises SceneLate, SceneFailed, and what the classifier raises of the
        engine's own errors."""

        def work(task: Task[SceneClass]) -> Generator[SceneClass, None, None]:
            yield self._scenes.classify(frame)

        task = self._worker.start(work)
        event = task.next(self._wall, self._wall.now() + self._deadline_s, never)
        if event is None:
            self._worker.cancel(task)
            raise SceneLate(f"no scene within answer.deadline_s={self._deadline_s:g}")
        if isinstance(event, End):
            raise event.error or SceneFailed("no scene came")
        return event

    def close(self) -> None:
        """Stop the thread; a hung one is abandoned."""
        self._worker.close()
