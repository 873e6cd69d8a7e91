"""All errors that the engine raises on purpose.

    EngineError                 message: one line with what was expected, what came and what to do
    ├── SetupError              before the session starts: exit status 2
    │   ├── ConfigError         a setting is misspelt, has the wrong type or is out of range
    │   ├── InputError          a requested file, folder or device cannot be used
    │   └── MissingPart         a requested library, model pack, key or backend is not installed
    └── RunError                during the session: exit status 1 if it cannot continue
        ├── SourceLost          the camera or file stopped giving frames
        ├── SourceNotice        the source has a message for the wearer; reading continues
        ├── LinkLost            the link to the glasses could not be opened, or broke
        ├── FrameSkipped        one image of many cannot be read; reading continues with the next
        ├── DepthFailed         the depth model failed or hangs; the session continues without it
        ├── DescriberFailed     the describer could not answer; the template answers instead
        │   ├── DescriberLate   it gave no text within the deadline
        │   └── PromptTooLong   the prompt leaves it no room for an answer
        ├── SceneFailed         the kind of place could not be classified
        │   └── SceneLate       not within the deadline
        ├── ReaderFailed        the text in an image could not be read
        │   └── ReaderLate      it missed the deadline, or a newer request replaced this one
        ├── OutOfMemory         a model ran out of memory
        ├── StillLoading        a model is needed before it has loaded; the answer does without it
        └── SpeechFailed        a sentence could not be synthesised or played

Users see the message alone, without a traceback. Errors of libraries become one line with
`message_of` or `in_one_line`.
"""

from typing import Literal


class EngineError(Exception):
    """Base class of the errors that the engine raises on purpose."""


class SetupError(EngineError):
    """Raised before the session starts; the process ends with exit status 2."""


class ConfigError(SetupError):
    """A configuration key is unknown, or its value has the wrong type or is out of range."""


class InputError(SetupError):
    """A requested file, folder or device is missing, broken or of an unreasonable size."""


class MissingPart(SetupError):
    """A requested library, device, model pack, key or backend is not installed or not connected."""


class RunError(EngineError):
    """Raised during a session; logged as `health` and spoken."""


class SourceLost(RunError):
    """The camera was unplugged, or a file is truncated."""


SourceStatus = Literal[
    "glasses_lost",
    "glasses_back",
    "glasses_low",
    "glasses_hot",
    "video_damaged",
    "video_jumped",
]


class SourceNotice(RunError):
    """A source has a message for the wearer; the next `read` continues as before.

    `status` is the key of the spoken sentence, None if nothing is to be said; `detail`, `action`
    and `what` (what it is about) are for the log.
    """

    def __init__(
        self, status: SourceStatus | None, detail: str, action: str, what: str = "glasses"
    ) -> None:
        super().__init__(detail)
        self.what = what
        self.status = status
        self.detail = detail
        self.action = action


class LinkLost(RunError):
    """The link to the glasses could not be opened, or broke; the caller may try again."""


class FrameSkipped(RunError):
    """One image of a folder, dataset or recording is broken; the next `read` gives the next one."""


class DepthFailed(RunError):
    """The depth model raised, or has given no result for too long."""


class DescriberFailed(RunError):
    """The describer raised or gave no usable text."""


class DescriberLate(DescriberFailed):
    """The describer gave no text within the answer's deadline."""


class PromptTooLong(DescriberFailed):
    """The prompt leaves the describer no room for an answer."""


class SceneFailed(RunError):
    """The scene classifier raised."""


class SceneLate(SceneFailed):
    """The scene classifier gave nothing within the answer's deadline."""


class ReaderFailed(RunError):
    """The text reader (OCR) raised, or could not be loaded."""


class ReaderLate(ReaderFailed):
    """The text reader missed the answer's deadline, or a newer request replaced this one."""


class OutOfMemory(RunError):
    """A model ran out of CPU or GPU memory; its buffers have been freed."""


class StillLoading(RunError):
    """A model is needed before it has loaded; the answer is given without it."""


class SpeechFailed(RunError):
    """The voice gave no audio for a sentence, or the sink could not play it."""


def message_of(error: object, limit: int | None = None) -> str:
    """An error's message on one line, to be quoted in one of the engine's messages; the name of its
    type if the message is empty. It is cut to `limit` characters."""
    return " ".join(str(error).split())[:limit] or type(error).__name__


def in_one_line(error: BaseException) -> str:
    """An error as one complete line: the message of an EngineError, else `Type: message`, with at
    most 300 characters of the message."""
    if isinstance(error, EngineError):
        return message_of(error)
    kind, message = type(error).__name__, message_of(error, 300)
    return message if message == kind else f"{kind}: {message}"
