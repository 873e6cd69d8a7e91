"""Every edge of the engine as a small Protocol: what stands behind it can be swapped in `build.py`.

Each adapter lives in one file under `devices/` or `models/`, is used from one thread, and
synchronises its device before it returns, so that latency marks are honest.
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
    """Gives frames in order. File sources stamp `time_s` as seconds since their start (the loops map
    them to the clock); live ones stamp the host's monotonic clock and set `live`."""

    name: str
    live: bool
    fps: float

    def read(self) -> Frame | None:
        """The next frame, or None at the end. Raises SourceLost when it broke off, FrameSkipped
        when this one picture is broken and the next may be whole."""
        ...

    def truth(self, seq: int) -> Truth | None:
        """The labels of frame `seq`, where the source is a labelled dataset."""
        ...

    def __len__(self) -> int:
        """How many frames will come, 0 where nobody knows."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Counting(Protocol):
    """A source that counts what its sensors' streams gave and lost."""

    def counts(self) -> tuple[StreamCount, ...]: ...


@runtime_checkable
class LooksAside(Protocol):
    """A source whose frames bring pictures of side cameras along, by these names."""

    aside: tuple[str, ...]


@runtime_checkable
class Hears(Protocol):
    """A source with a microphone of its own."""

    def microphone(self) -> "Blocks | None":
        """None where it has recorded no sound."""
        ...


class Blocks(Protocol):
    """A microphone, as a wake word wants it."""

    @property
    def time_s(self) -> float:
        """When the last sample of the block that was read last was taken: by the source's time, as its
        frames' `time_s`."""
        ...

    def read(self) -> NDArray[np.int16] | None:
        """The next block (512,) of 16 kHz mono, or None where there is none (yet)."""
        ...


class Detector(Protocol):
    """Finds and tracks objects."""

    card: ModelCard
    labels: tuple[str, ...]

    def detect(self, frame: Frame) -> tuple[Detection, ...]: ...

    def expect(self, frame: Frame) -> None:
        """`detect` will be asked for `frame` after those before it: a detector may begin with it."""
        ...

    def reset(self) -> None:
        """Forget all tracks: the next frame has nothing to do with the last."""
        ...


class SceneClassifier(Protocol):
    """Says where the wearer is."""

    card: ModelCard
    labels: tuple[str, ...]

    def classify(self, frame: Frame) -> SceneClass: ...


class DepthModel(Protocol):
    """Measures how far everything in a picture is."""

    card: ModelCard

    def metres(self, frame: Frame) -> NDArray[np.float32]:
        """Metres along the camera's axis (h, w), as `DepthMap` holds them. May raise anything."""
        ...

    def stop(self) -> None:
        """From any thread: measure no more, and give up what is under way, which then raises."""
        ...


class DepthWorker(Protocol):
    """Gives depth to who watches, when there is some."""

    def offer(self, frame: Frame) -> DepthMap | None:
        """Take the newest frame; give a map, of it or of an earlier one, each once. Raises
        DepthFailed."""
        ...

    def close(self) -> None: ...


class Describer(Protocol):
    """Describes a frame in words."""

    card: ModelCard

    def look(self, frame: Frame, prompt: str | None = None) -> Iterator[None]:
        """Begin to describe `frame` step by step, and keep what was done until the next is described: all
        of it where that is asked the same about the same frame, and what is the same for every prompt
        where it is asked something else. Closing the iterator loses nothing. Raises what `describe`
        raises."""
        ...

    def describe(
        self,
        frame: Frame,
        on_first_token: Callable[[], None] | None = None,
        prompt: str | None = None,
    ) -> Iterator[str]:
        """Yield finished, speakable clauses as soon as each is complete, greedy. `prompt` None is
        the model's own. Closing the iterator stops the generation. Raises DescriberFailed,
        OutOfMemory."""
        ...


class Reader(Protocol):
    """Reads the text in a frame."""

    card: ModelCard

    def read(self, frame: Frame) -> tuple[TextLine, ...]:
        """All lines of text, in no order. Raises ReaderFailed, OutOfMemory."""
        ...

    def read_large(self, frame: Frame) -> tuple[TextLine, ...]:
        """Only what is large in the picture and near its middle, for a fraction of the time."""
        ...


class Router(Protocol):
    """Decides which tier answers. The glance's `scene` is set."""

    name: str

    def decide(self, glance: Glance) -> Decision: ...


class Voice(Protocol):
    """Turns a sentence into sound."""

    sample_rate_hz: int

    def synthesise(self, text: str) -> Samples:
        """Mono samples (n,) at `sample_rate_hz`. Raises SpeechFailed."""
        ...

    def close(self) -> None: ...


class Sink(Protocol):
    """Where sound goes: a loudspeaker, a WAV file, nowhere."""

    name: str
    paced: bool  # True where write() itself waits for real time, as a loudspeaker does

    def write(self, block: Samples) -> None:
        """Take stereo samples (n, 2). Raises SpeechFailed."""
        ...

    def close(self) -> None: ...


class AudioSource(Protocol):
    """Where the ear listens: a microphone, a recording, glasses. Always mono at HEARING_HZ, and no
    sample is left out without being counted."""

    name: str
    overruns: int  # how often the device lost samples

    def read(self, timeout_s: float) -> Sound | None:
        """The next samples, as many as there are; None when none came in time, or at the end.
        Raises SourceLost when the device is gone."""
        ...

    @property
    def ended(self) -> bool:
        """Whether no more will come."""
        ...

    def close(self) -> None: ...


class WakeEngine(Protocol):
    """Listens for one phrase."""

    name: str
    phrase: str
    frame_samples: int  # exactly so many a call
    delay_s: float  # how long after the phrase's end it fires, typically

    @property
    def stirring(self) -> bool:
        """Whether the phrase may be about to be heard; False where an engine gives no hint."""
        ...

    def hear(self, frame: Pcm) -> bool:
        """Whether the phrase is heard: true once, or for some frames from its end on; `frame` is
        (frame_samples,)."""
        ...

    def close(self) -> None: ...


class Recogniser(Protocol):
    """Understands the commands of one grammar."""

    frame_samples: int  # exactly so many a call

    def begin(self) -> None:
        """Forget what was heard, and listen anew."""
        ...

    def hear(self, frame: Pcm) -> str | None:
        """None while somebody may still be speaking; then the phrase, "" where it was no command."""
        ...


class View(Protocol):
    """Shows a sighted helper what the session sees, says and decides."""

    def show(self, event: Shown, time_s: float) -> None:
        """Take `event`, of the moment `time_s` on the session's timeline."""
        ...

    def close(self) -> None: ...


class Clock(Protocol):
    """Monotonic seconds, and waiting. Tests and batches inject their own."""

    def now(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...
