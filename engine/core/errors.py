"""Every error that a user can meet, in one tree.

    EngineError                 one clear line: what was expected, what came, what to do
    ├── SetupError              before anything ran: exit status 2
    │   ├── ConfigError         a setting is misspelt, mistyped or out of range
    │   ├── InputError          a file, folder or device that was asked for cannot be used
    │   └── MissingPart         a library, model pack, key or backend that was asked for is not here
    └── RunError                while running: exit status 1 when nothing can go on
        ├── SourceLost          the camera or file stopped giving frames
        ├── SourceSays           something that the wearer has to hear; reading goes on
        ├── LinkLost             the link to the glasses could not be made or broke
        ├── FrameSkipped        one picture of many cannot be read; the next one can
        ├── DepthFailed         the depth model failed or hangs; distances go on without it
        ├── DescriberFailed     the language model could not answer; the template answers instead
        │   └── DescriberLate   it gave no words in time
        ├── ReaderFailed        the text in a picture could not be read
        │   └── ReaderLate      it could not be read in time, or the wearer no longer waits for it
        ├── OutOfMemory         a model found no memory for what it was asked
        └── SpeechFailed        a sentence could not be synthesised or played

The message is the whole report, so it is written for the person who reads it: no traceback follows.
"""

from typing import Literal


class EngineError(Exception):
    """Base of all errors that the engine raises on purpose."""


class SetupError(EngineError):
    """Raised before any model loads; the process ends with exit status 2."""


class ConfigError(SetupError):
    """A configuration key is unknown, of the wrong type or out of range."""


class InputError(SetupError):
    """A source that was asked for is missing, broken or of an absurd size."""


class MissingPart(SetupError):
    """A library, device, model pack or backend that was asked for is not installed or not here."""


class RunError(EngineError):
    """Raised while the engine runs; logged as `health` and spoken."""


class SourceLost(RunError):
    """The camera was pulled out, or a file broke off before its end."""


SourceWord = Literal["glasses_lost", "glasses_back", "glasses_low", "glasses_hot"]


class SourceSays(RunError):
    """What a source wants said: `word` names the sentence, `detail` and `action` are for the log.
    Reading again goes on."""

    def __init__(self, word: SourceWord, detail: str, action: str) -> None:
        super().__init__(detail)
        self.word = word
        self.detail = detail
        self.action = action


class LinkLost(RunError):
    """The link to the glasses could not be made or broke; it may be tried again."""


class FrameSkipped(RunError):
    """One picture of a folder or dataset is broken; reading again gives the next one."""


class DepthFailed(RunError):
    """The depth model raised, or has given nothing for long."""


class DescriberFailed(RunError):
    """The describer raised or gave no usable text."""


class DescriberLate(DescriberFailed):
    """The describer gave no words within the answer's deadline."""


class PromptTooLong(DescriberFailed):
    """The prompt leaves a describer no room for an answer."""


class ReaderFailed(RunError):
    """The reader of text raised, or could not be loaded."""


class ReaderLate(ReaderFailed):
    """Reading took longer than the answer may, or was overtaken."""


class OutOfMemory(RunError):
    """The processor's or the graphics card's memory did not suffice; what is held was given back."""


class SpeechFailed(RunError):
    """The voice gave no audio for a sentence, or the sink refused it."""


def message_of(error: object, limit: int | None = None) -> str:
    """An error's message on one line, to be quoted in a message of the engine; the name of its type
    where the message is empty. `limit` cuts it to so many characters."""
    return " ".join(str(error).split())[:limit] or type(error).__name__


def in_one_line(error: BaseException) -> str:
    """An error as one line that stands alone: the message of an EngineError, else `Type: message`,
    with at most 300 characters of the message."""
    if isinstance(error, EngineError):
        return message_of(error)
    kind, message = type(error).__name__, message_of(error, 300)
    return message if message == kind else f"{kind}: {message}"
