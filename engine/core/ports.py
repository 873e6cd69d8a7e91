"""The ports of the engine: small Protocols for everything that can be replaced.

Each adapter is one file in `devices/` or `models/`, chosen in `app/builders/`. It is used from one
thread, and synchronises its device before it returns, so that measured latencies are correct.
"""

from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from engine.core.answer import Decision
from engine.core.camera import Frame
from engine.core.glance import DepthMap, Detection, Glance, SceneClass, TextLine, Truth
from engine.core.report import ModelCard, Shown, StreamCount
from engine.core.sound import Pcm, Samples, Sound


class Source(Protocol):
    """Delivers frames in order. The `time_s` of a file source is in seconds since its start, which
    the loops map to the clock. A live source uses the host's monotonic clock and sets `live`."""

    name: str
    live: bool
    fps: float

    def read(self) -> Frame | None:
        """The next frame, or None at the end. Raises SourceLost if the source broke off, and
        FrameSkipped if this image is broken but the next may be intact."""
        ...

    def truth(self, seq: int) -> Truth | None:
        """The labels of frame `seq`, if the source is a labelled dataset."""
        ...

    def __len__(self) -> int:
        """The number of frames, 0 if unknown."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Counting(Protocol):
    """A source that counts the received and lost records of its sensor streams."""

    def counts(self) -> tuple[StreamCount, ...]: ...


@runtime_checkable
class HasSideCameras(Protocol):
    """A source whose frames also carry images of the side cameras named here."""

    side_camera_labels: tuple[str, ...]


@runtime_checkable
class Hears(Protocol):
    """A source with its own microphone."""

    def microphone(self) -> "Blocks | None":
        """None if the source has no sound."""
        ...


class Blocks(Protocol):
    """A microphone that delivers blocks for a wake word engine."""

    @property
    def time_s(self) -> float:
        """The capture time of the last sample of the newest block, on the same clock as the
        `time_s` of the source's frames."""
        ...

    def read(self) -> NDArray[np.int16] | None:
        """The next block (512,) of 16 kHz mono, or None if none is available."""
        ...


class Detector(Protocol):
    """Detects and tracks objects."""

    card: ModelCard
    labels: tuple[str, ...]

    def detect(self, frame: Frame) -> tuple[Detection, ...]: ...

    def expect(self, frame: Frame) -> None:
        """Announce that `detect` will be called with `frame`, so that the detector may start
        early."""
        ...

    def reset(self) -> None:
        """Forget all tracks: the next frame does not continue the last."""
        ...


class ClassifiesScenes(Protocol):
    """Classifies the kind of place. Raises StillLoading while it loads."""

    def classify(self, frame: Frame) -> SceneClass: ...


class SceneClassifier(ClassifiesScenes, Protocol):
    """A loaded scene classifier."""

    card: ModelCard
    labels: tuple[str, ...]


class MeasuresDepth(Protocol):
    """Estimates the depth of an image."""

    def metres(self, frame: Frame) -> NDArray[np.float32]:
        """Depth in metres (h, w), as in `DepthMap`. May raise any exception."""
        ...

    def stop(self) -> None:
        """Stop, from any thread. An estimate in progress is abandoned and raises."""
        ...


class DepthModel(MeasuresDepth, Protocol):
    """A loaded depth model."""

    card: ModelCard


class DepthWorker(Protocol):
    """Runs the depth model beside the obstacle loop."""

    def offer(self, frame: Frame) -> DepthMap | None:
        """Take the newest frame and return a new depth map, of this or an earlier frame, or None.
        Each map is returned once. Raises DepthFailed."""
        ...

    def close(self) -> None: ...


class Describes(Protocol):
    """Describes a frame in words. Raises StillLoading while it loads."""

    def look(self, frame: Frame, prompt: str | None = None) -> Iterator[None]:
        """Prefetch: begin to describe `frame` step by step, and cache the work for the next
        `describe`.

        All of it is reused for the same frame and prompt. For another prompt, the part that does
        not depend on the prompt is reused. Closing the iterator keeps the work. Raises as
        `describe` does.
        """
        ...

    def describe(
        self,
        frame: Frame,
        on_first_token: Callable[[], None] | None = None,
        prompt: str | None = None,
    ) -> Iterator[str]:
        """Yield speakable clauses, each as soon as it is complete, by greedy decoding. `prompt`
        None means the model's default. Closing the iterator stops the generation. Raises
        DescriberFailed and OutOfMemory."""
        ...

    def stop(self) -> None:
        """Stop, from any thread. A description in progress is abandoned and raises."""
        ...


class Describer(Describes, Protocol):
    """A loaded describer."""

    card: ModelCard


class Reader(Protocol):
    """Reads the text in a frame (OCR)."""

    card: ModelCard

    def read(self, frame: Frame) -> tuple[TextLine, ...]:
        """All lines of text, unordered. Raises ReaderFailed and OutOfMemory."""
        ...

    def read_large(self, frame: Frame) -> tuple[TextLine, ...]:
        """Only large text near the centre of the image, in a fraction of the time."""
        ...


class Router(Protocol):
    """Decides which tier answers. The glance must have its `scene`."""

    name: str

    def decide(self, glance: Glance) -> Decision: ...


class Voice(Protocol):
    """Synthesises speech."""

    sample_rate_hz: int

    def synthesise(self, text: str) -> Samples:
        """Mono samples (n,) at `sample_rate_hz`. Raises SpeechFailed."""
        ...

    def close(self) -> None: ...


class Sink(Protocol):
    """An output for sound: a loudspeaker, a WAV file, or none."""

    name: str

    @property
    def paced(self) -> bool:
        """Whether `write` blocks in real time, as a loudspeaker does."""
        ...

    def write(self, block: Samples) -> None:
        """Take stereo samples (n, 2). Raises SpeechFailed."""
        ...

    def close(self) -> None: ...


class LastResort(Protocol):
    """A way to reach the wearer that needs neither the session's voice nor its sink."""

    def sound(self, text: str) -> None:
        """Make `text` known, as words or at least as a sound. Never waits and never raises."""
        ...


class AudioSource(Protocol):
    """An input for sound: a microphone, a recording, glasses. Mono at HEARING_HZ. Lost samples are
    counted."""

    name: str
    overruns: int  # how often the device lost samples

    def read(self, timeout_s: float) -> Sound | None:
        """All samples that are available; None if none came in time, or at the end. Raises
        SourceLost if the device is gone."""
        ...

    @property
    def ended(self) -> bool:
        """Whether no more samples will come."""
        ...

    def close(self) -> None: ...


class WakeEngine(Protocol):
    """Detects one wake phrase."""

    name: str
    phrase: str
    frame_samples: int  # samples per call
    delay_s: float  # typical delay from the end of the phrase

    @property
    def hint(self) -> bool:
        """A hint that the phrase may be about to end. False if the engine gives no hint."""
        ...

    def hear(self, frame: Pcm) -> bool:
        """Whether the phrase has ended: true once, or for a few frames after its end. `frame` is
        (frame_samples,)."""
        ...

    def close(self) -> None: ...


class Recogniser(Protocol):
    """Recognises the commands of one grammar."""

    frame_samples: int  # samples per call

    def begin(self) -> None:
        """Start a new utterance and forget earlier sound."""
        ...

    def hear(self, frame: Pcm) -> str | None:
        """None while speech may continue; then the phrase, or "" if it is not a command."""
        ...


class View(Protocol):
    """Shows a sighted helper what the session detects, says and decides."""

    def show(self, event: Shown, time_s: float) -> None:
        """Show `event`, which happened at `time_s` on the session's timeline."""
        ...

    def close(self) -> None: ...


class Clock(Protocol):
    """Monotonic seconds and waiting. Tests and batches inject their own clock."""

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...
