"""Spoken commands, with PocketSphinx and the US English acoustic model that its wheel ships.

Decodes a closed grammar (JSGF). An utterance is a command only if all of it matches one, with about
the same score as a phone loop decoded in parallel, and with about as many phones: a grammar alone
would find a command in any speech, and passes over what follows the command as if it were silence.
Must not know what a command does.
"""

import tempfile
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from engine.core.errors import MissingPart, message_of
from engine.core.sound import HEARING_HZ, Pcm
from engine.language.commands import CommandGrammar

# Score of the command minus that of the phone loop, per 10 ms frame, in PocketSphinx's log units.
# Chosen on the spoken phrases of `experiments.quality.wake_words`.
MIN_SCORE_PER_FRAME = -0.0003
MOST_EXTRA_PHONES = 2  # that the phone loop hears beyond the command's; chosen on the same phrases
SHIPPED_MODEL = "en-us"  # the only acoustic model in the wheel
SILENCE = "SIL"  # among the phones; noises are written "+NSN+"
END_SILENCE_S = 0.3  # ends an utterance
PREROLL_FRAMES = 17  # of 30 ms: the start of the speech, before the endpointer detects it


class PocketSphinx:
    """Recognises the commands of `grammar`, in English. Raises MissingPart."""

    def __init__(self, grammar: CommandGrammar, acoustic_model: str = SHIPPED_MODEL) -> None:
        library: Any = _library()
        self._grammar = grammar
        model = Path(library.get_model_path(acoustic_model))
        if not model.is_dir():
            raise MissingPart(
                f"recogniser: expected an acoustic model that pocketsphinx ships ({SHIPPED_MODEL}), got "
                f"{acoustic_model!r}; set it to null in the language's words.json"
            )
        spoken = _dictionary(model / f"cmudict-{acoustic_model}.dict", grammar)
        nouns = [noun for noun in grammar.nouns if set(noun.split()) <= spoken.keys()]
        rules = jsgf(grammar, nouns)
        with tempfile.TemporaryDirectory(prefix="scene-aria-") as folder:
            path = Path(folder) / "words.dict"
            path.write_text("".join(line for lines in spoken.values() for line in lines))
            common = {"hmm": str(model / acoustic_model), "dict": str(path), "lm": None}
            quiet = {"loglevel": "FATAL", "samprate": HEARING_HZ}
            commands = library.Decoder(library.Config(**common, **quiet))
            phones = library.Decoder(library.Config(**common, **quiet, allphone_ci=True))
        commands.add_jsgf_string("commands", rules)
        commands.activate_search("commands")
        phones.add_allphone_file("phones", str(model / f"{acoustic_model}-phone.lm.bin"))
        phones.activate_search("phones")
        self._decoders = (commands, phones)
        self._new_endpointer: Any = lambda: library.Endpointer(
            window=END_SILENCE_S, sample_rate=HEARING_HZ
        )
        self._endpointer = self._new_endpointer()
        self.frame_samples = self._endpointer.frame_bytes // 2
        self._preroll: deque[Pcm] = deque(maxlen=PREROLL_FRAMES)
        self._speaking = False
        self._frames = 0

    def begin(self) -> None:
        if self._speaking:
            self._end()
        self._endpointer = self._new_endpointer()
        self._preroll.clear()

    def hear(self, frame: Pcm) -> str | None:
        """Decode one more `frame`, (frame_samples,) int16; see the port for what is returned."""
        self._endpointer.process(frame.tobytes())
        if not self._endpointer.in_speech:
            if self._speaking:
                return self._end()
            self._preroll.append(frame)
            return None
        if not self._speaking:
            self._speaking = True
            for decoder in self._decoders:
                decoder.start_utt()
            for earlier in self._preroll:
                self._decode(earlier)
            self._preroll.clear()
        self._decode(frame)
        return None

    def _decode(self, frame: Pcm) -> None:
        self._frames += 1
        for decoder in self._decoders:
            decoder.process_raw(frame.tobytes())

    def _end(self) -> str:
        """The command that the whole utterance matches, or ""."""
        self._speaking = False
        frames_10ms, self._frames = self._frames * self.frame_samples * 100 / HEARING_HZ, 0
        for decoder in self._decoders:
            decoder.end_utt()
        command, phones = (decoder.hyp() for decoder in self._decoders)
        if command is None or phones is None:
            return ""
        score = (command.score - phones.score) / max(1.0, frames_10ms)
        matches = score >= MIN_SCORE_PER_FRAME and self._extra_phones(command) <= MOST_EXTRA_PHONES
        return str(command.hypstr) if matches and self._grammar.parse(command.hypstr) else ""

    def _extra_phones(self, command: Any) -> int:
        """How many phones the phone loop heard in the utterance, beyond those of `command`."""
        decoder, loop = self._decoders
        heard = sum(each.word.isalpha() and each.word != SILENCE for each in loop.seg())
        said = (decoder.lookup_word(word).split() for word in command.hypstr.split())
        return int(heard) - sum(map(len, said))


def jsgf(grammar: CommandGrammar, nouns: Iterable[str]) -> str:
    """The grammar, limited to these of its nouns, in the Java Speech Grammar Format."""
    phrases = " | ".join(grammar.phrases)
    return (
        "#JSGF V1.0;\ngrammar commands;\n"
        f"public <command> = {phrases} | ({' | '.join(grammar.where)}) ({' | '.join(nouns)});\n"
    )


def _dictionary(path: Path, grammar: CommandGrammar) -> dict[str, list[str]]:
    """The lines of the pronunciation dictionary for each word of the grammar. Loading all of it
    would take a second. A word that it lacks cannot be recognised."""
    words = {w for part in (*grammar.phrases, *grammar.where, *grammar.nouns) for w in part.split()}
    spoken: dict[str, list[str]] = {}
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            word = line.split(" ", 1)[0].split("(")[0]
            if word in words:
                spoken.setdefault(word, []).append(line)
    return spoken


def require_pocketsphinx() -> None:
    """Raise MissingPart if the library is not installed. For a check before any model loads."""
    _library()


def _library() -> Any:
    try:
        import pocketsphinx  # type: ignore[import-untyped, unused-ignore]
    except (ImportError, OSError) as error:
        raise MissingPart(
            "trigger.wake.commands: expected the pocketsphinx library, got "
            f"{message_of(error)}; install it with `pip install 'pocketsphinx>=5,<6'`, or "
            "set trigger.wake.command_s=0"
        ) from error
    return pocketsphinx
