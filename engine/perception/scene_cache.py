"""A scene classifier that remembers its last picture, so that it can be asked ahead of time.

While a wake phrase is being said, the picture in hand is classified already; the answer then finds it
done. Must not know: who foresees, or why.
"""

from engine.core.camera import Frame
from engine.core.glance import SceneClass
from engine.core.ports import SceneClassifier


class SceneCache:
    """Classifies each frame once. To be used from one thread, as what it wraps is."""

    def __init__(self, scenes: SceneClassifier) -> None:
        self.card = scenes.card
        self.labels = scenes.labels
        self._scenes = scenes
        self._last: tuple[Frame, SceneClass] | None = None

    def classify(self, frame: Frame) -> SceneClass:
        if self._last is None or self._last[0] is not frame:
            self._last = (frame, self._scenes.classify(frame))
        return self._last[1]
