"""Wired: real wake engines and the real recogniser, on speech by espeak-ng."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.core.answer import Command
from engine.core.clock import VirtualClock
from engine.core.errors import InputError, MissingPart, RunError
from engine.core.ports import WakeEngine
from engine.core.sound import HEARING_HZ, Pcm, Sound
from engine.devices.sound import porcupine
from engine.devices.sound.espeak import SAMPLE_RATE_HZ
from engine.devices.sound.microwakeword import DELAY_S, MicroWakeWord
from engine.devices.sound.recogniser import PocketSphinx
from engine.devices.sound.recording import Recording, read_pcm
from engine.devices.sound.resampling import Resampler
from engine.devices.sound.voice import Pyttsx3Voice
from engine.language.commands import CommandGrammar, command_grammar
from engine.listening.echo_guard import WINDOW_S, EchoGuard
from engine.listening.framer import Framer
from experiments.quality.synthetic_speech import pause, say, to_pcm, with_noise, write_wav

SPOKEN = {  # a voice in which each shipped model hears its phrase
    "okay nabu": ("gmw/en-us", 170),
    "alexa": ("gmw/en-us", 150),
    "hey mycroft": ("gmw/en", 190),
    "hey jarvis": ("gmw/en-us+f3", 190),
}


def spoken(text: str, voice: str = "gmw/en-us", rate_wpm: int = 170) -> Pcm:
    samples = [pause(1.0), say(text, voice, rate_wpm).samples, pause(1.0)]
    return with_noise(np.concatenate(samples), 30.0, seed=0)


def fires(engine: WakeEngine, pcm: Pcm) -> float | None:
    """When the engine first fires, in seconds."""
    size = engine.frame_samples
    for start in range(0, len(pcm) - size + 1, size):
        if engine.hear(pcm[start : start + size]):
            return (start + size) / HEARING_HZ
    return None


@pytest.mark.parametrize("phrase", SPOKEN)
def test_a_phrase_wakes_its_own_model_soon_after_its_end(phrase: str) -> None:
    said = say(phrase, *SPOKEN[phrase])
    engine = MicroWakeWord(phrase)
    fired = fires(engine, spoken(phrase, *SPOKEN[phrase]))
    assert fired is not None
    assert -0.2 < fired - 1.0 - said.end_s < 0.4
    engine.close()


@pytest.mark.parametrize("phrase", DELAY_S)
def test_other_words_wake_nothing(phrase: str) -> None:
    engine = MicroWakeWord(phrase)
    for text in ("It is a sunny day and the bus is late.", "Good morning, how are you?"):
        assert fires(engine, spoken(text)) is None
    engine.close()


def test_sensitivity_moves_the_cutoff_both_ways() -> None:
    low, default, high = (MicroWakeWord("okay nabu", s).cutoff for s in (0.1, 0.5, 1.0))
    assert default == pytest.approx(0.85)
    assert high < default < low < 1.0


def test_the_engines_own_voice_is_known_when_it_says_the_phrase() -> None:
    """What the sink gets, through the air, wakes the model; the guard knows whose voice it was."""
    voice = Pyttsx3Voice("en", 150)
    said = voice.synthesise("Okay nabu.")
    voice.close()
    played = np.concatenate([np.zeros(SAMPLE_RATE_HZ), said, np.zeros(SAMPLE_RATE_HZ)])
    resampler = Resampler()
    pcm = resampler.pcm(to_pcm(played.astype(np.float32)), SAMPLE_RATE_HZ)
    echo = (np.concatenate([np.zeros(round(0.12 * HEARING_HZ), np.int16), pcm]) * 0.4).astype(
        np.int16
    )
    guard, engine = EchoGuard(SAMPLE_RATE_HZ), MicroWakeWord("okay nabu")
    step = round(0.02 * SAMPLE_RATE_HZ)
    for start in range(0, len(played) - step, step):
        block = played[start : start + step].astype(np.float32)
        guard.played(np.stack([block, block], axis=1), start / SAMPLE_RATE_HZ)
    fired = None
    framer = Framer(engine.frame_samples)
    for frame in framer.frames(Sound(echo, len(echo) / HEARING_HZ)):
        guard.heard(frame)
        if fired is None and engine.hear(frame.pcm):
            fired = frame.time_s
            end_s = fired - engine.delay_s
            assert guard.own_voice(end_s - WINDOW_S, end_s)
    assert fired is not None
    engine.close()


# commands


@pytest.fixture(scope="module")
def commands() -> tuple[CommandGrammar, PocketSphinx]:
    labels = ("door", "chair", "traffic light", "xyzzyplugh")  # the last is in no dictionary
    spoken_ = command_grammar("en", {label: label for label in labels})
    return spoken_, PocketSphinx(spoken_)


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("describe", Command("describe")),
        ("tell me more", Command("more")),
        ("stop", Command("stop")),
        ("louder", Command("louder")),
        ("why", Command("why")),
        ("read text", Command("read")),
        ("say that again", Command("repeat")),
        ("where is the door", Command("where", "door")),
        ("find the traffic light", Command("where", "traffic light")),
        ("my uncle has seven blue parrots in the attic", None),
    ],
)
def test_spoken_commands(
    commands: tuple[CommandGrammar, PocketSphinx], text: str, command: Command | None
) -> None:
    spoken_, recogniser = commands
    recogniser.begin()
    pcm = spoken(text)
    size = recogniser.frame_samples
    heard = [recogniser.hear(pcm[at : at + size]) for at in range(0, len(pcm) - size + 1, size)]
    texts = [text for text in heard if text is not None]
    assert [spoken_.parse(text) for text in texts][:1] == [command]


def test_a_command_cut_off_by_a_new_beginning_is_forgotten(
    commands: tuple[CommandGrammar, PocketSphinx],
) -> None:
    _, recogniser = commands
    recogniser.begin()
    pcm = spoken("where is the door")[: round(1.8 * HEARING_HZ)]
    size = recogniser.frame_samples
    for at in range(0, len(pcm) - size + 1, size):
        recogniser.hear(pcm[at : at + size])
    recogniser.begin()
    silence = np.zeros(size, np.int16)
    assert {recogniser.hear(silence) for _ in range(30)} == {None}


# Porcupine, as far as it goes without a key


@pytest.mark.parametrize("key", ["not-a-key", "x" * 54 + "=="])
def test_porcupine_refuses_a_bad_key_in_one_line(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv(porcupine.KEY, key)
    with pytest.raises(MissingPart, match=r"check the key at console\.picovoice\.ai") as caught:
        porcupine.Porcupine("porcupine", 0.5)
    assert "\n" not in str(caught.value)
    assert key not in str(caught.value)


def test_porcupine_without_a_key_says_where_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(porcupine.KEY, raising=False)
    with pytest.raises(MissingPart, match="PICOVOICE_ACCESS_KEY, got none; make one at console"):
        porcupine.Porcupine()


def test_porcupine_refuses_words_and_files_that_it_has_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(porcupine.KEY, "x")
    with pytest.raises(InputError, match="built in, got 'okay nabu'"):
        porcupine.Porcupine("okay nabu")
    with pytest.raises(InputError, match=r"expected a \.ppn file, got .*none\.ppn"):
        porcupine.Porcupine(keyword_path=tmp_path / "none.ppn")
    broken = tmp_path / "broken.ppn"
    broken.write_bytes(b"no keyword")
    with pytest.raises(MissingPart, match="expected Porcupine to start"):
        porcupine.Porcupine(keyword_path=broken)


def test_porcupine_gets_the_frames_that_its_library_asks_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The library's own class, started without its activation, which needs a key: it checks the length
    of each frame itself, and its native part says how long that is."""
    import ctypes

    import pvporcupine
    from pvporcupine._util import pv_library_path

    native = ctypes.cdll.LoadLibrary(pv_library_path())
    length, rate_hz = native.pv_porcupine_frame_length(), native.pv_sample_rate()
    assert (length, rate_hz) == (512, HEARING_HZ)

    class Unactivated(pvporcupine.Porcupine):  # type: ignore[misc]
        def __init__(self) -> None:
            self._frame_length, self._sample_rate = length, rate_hz
            self._handle = None
            self.frames: list[int] = []
            success = self.PicovoiceStatuses.SUCCESS

            def process(_handle: object, frame: ctypes.Array[ctypes.c_short], _: object) -> object:
                self.frames.append(len(frame))
                return success

            self._process_func = process
            self._delete_func = lambda _handle: None

    engine = Unactivated()
    monkeypatch.setenv(porcupine.KEY, "a-key")
    monkeypatch.setattr(pvporcupine, "create", lambda **_: engine)
    wake = porcupine.Porcupine()
    framer = Framer(wake.frame_samples)
    for frame in framer.frames(Sound(spoken("porcupine"), 3.0)):
        wake.hear(frame.pcm)
    assert set(engine.frames) == {512}
    with pytest.raises(RunError, match="expected 512 but received 160"):
        wake.hear(np.zeros(160, np.int16))
    wake.close()


# recordings


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100])
def test_a_recording_comes_as_the_ear_wants_it(tmp_path: Path, rate_hz: int) -> None:
    import wave

    at = np.arange(rate_hz) / rate_hz
    tone = (8000 * np.sin(2 * np.pi * 440 * at)).astype("<i2")
    path = tmp_path / "tone.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.repeat(tone, 2).tobytes())
    pcm = read_pcm(path)
    assert pcm.dtype == np.int16
    assert len(pcm) == pytest.approx(HEARING_HZ, abs=64)
    spectrum = np.abs(np.fft.rfft(pcm.astype(float)))
    assert np.argmax(spectrum) * HEARING_HZ / len(pcm) == pytest.approx(440, abs=2)


def test_a_recording_keeps_its_pace_and_gives_every_sample(tmp_path: Path) -> None:
    pcm = np.arange(1000, dtype=np.int16)
    clock = VirtualClock(5.0)
    recording = Recording(read_pcm(write_wav(tmp_path / "r.wav", pcm)), clock)
    sounds = []
    while not recording.ended:
        if (sound := recording.read(0.2)) is not None:
            assert sound.time_s <= clock.now() + 1e-9  # never before it could have been heard
            sounds.append(sound)
        if len(sounds) == 3:
            clock.sleep(0.5)  # a busy ear
    assert np.array_equal(np.concatenate([s.pcm for s in sounds]), pcm)
    assert sounds[-1].time_s == pytest.approx(5.0 + 1000 / HEARING_HZ)


@pytest.mark.parametrize("content", [None, b"", b"no sound at all"])
def test_what_is_no_recording_is_one_line(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"trigger\.wake\.path: expected") as caught:
        read_pcm(path)
    assert "\n" not in str(caught.value)


@pytest.mark.command
def test_the_core_needs_none_of_these_libraries() -> None:
    """The ear and its port import where no SDK is."""
    names = ("pymicro_wakeword", "pvporcupine", "pocketsphinx", "evdev", "sounddevice", "av")
    script = (
        f"import sys\nfor n in {names}: sys.modules[n] = None\n"
        "import engine.app.user_input, engine.app.builders.loops"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_acoustic_model_that_is_not_shipped_is_refused_in_one_line() -> None:
    with pytest.raises(MissingPart, match=r"got 'fr'; set it to null"):
        PocketSphinx(command_grammar("en", {}), "fr")
