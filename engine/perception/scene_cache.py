"""A scene classifier that caches its last result, so that a scene can be prefetched.

While the wake phrase is still being spoken, the current frame is classified; the answer then finds
the result ready. Must not know what triggers the prefetch.
"""

from engine.core.camera import Frame
from engine.core.glance import SceneClass
from engine.core.ports import ClassifiesScenes


class SceneCache:
    """Classifies each frame once. To be used from one thread, like the classifier that it wraps."""

    def __init__(self, scenes: ClassifiesScenes) -> None:
        self._scenes = scenes
        self._last: tuple[Frame, SceneClass] | None = None

    def classify(self, frame: Frame) -> SceneClass:
        if self._last is None or self._last[0] is not frame:
            self._last = (frame, self._scenes.classify(frame))
        return self._last[1]
