"""The real wake word engines, on speech by espeak-ng."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.core.errors import InputError, MissingPart, RunError
from engine.core.ports import WakeEngine
from engine.core.sound import HEARING_HZ, Pcm, Sound
from engine.devices.sound import porcupine
from engine.devices.sound.espeak import SAMPLE_RATE_HZ
from engine.devices.sound.microwakeword import DELAY_S, MicroWakeWord
from engine.devices.sound.resampling import Resampler
from engine.devices.sound.voice import Pyttsx3Voice
from engine.listening.echo_guard import WINDOW_S, EchoGuard
from engine.listening.framer import Framer
from experiments.quality.synthetic_speech import say, to_pcm
from tests.fakes.speech import spoken

SPOKEN = {  # voice and rate at which each shipped model detects its phrase
    "okay nabu": ("gmw/en-us", 170),
    "alexa": ("gmw/en-us", 150),
    "hey mycroft": ("gmw/en", 190),
    "hey jarvis": ("gmw/en-us+f3", 190),
}


def detection_s(engine: WakeEngine, pcm: Pcm) -> float | None:
    """The time of the first detection in seconds, None without one."""
    size = engine.frame_samples
    for start in range(0, len(pcm) - size + 1, size):
        if engine.hear(pcm[start : start + size]):
            return (start + size) / HEARING_HZ
    return None


@pytest.mark.parametrize("phrase", SPOKEN)
def test_each_model_detects_its_phrase_soon_after_the_end(phrase: str) -> None:
    said = say(phrase, *SPOKEN[phrase])
    engine = MicroWakeWord(phrase)
    detected_s = detection_s(engine, spoken(phrase, *SPOKEN[phrase]))
    assert detected_s is not None
    assert -0.2 < detected_s - 1.0 - said.end_s < 0.4
    engine.close()


@pytest.mark.parametrize("phrase", DELAY_S)
def test_other_speech_is_not_detected(phrase: str) -> None:
    engine = MicroWakeWord(phrase)
    for text in ("It is a sunny day and the bus is late.", "Good morning, how are you?"):
        assert detection_s(engine, spoken(text)) is None
    engine.close()


def test_sensitivity_raises_and_lowers_the_cutoff() -> None:
    low, default, high = (MicroWakeWord("okay nabu", s).cutoff for s in (0.1, 0.5, 1.0))
    assert default == pytest.approx(0.85)
    assert high < default < low < 1.0


def test_the_wake_phrase_in_the_engines_own_voice_is_an_echo() -> None:
    """The echo of what the loudspeaker plays wakes the model, and the echo guard recognises it."""
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
    detected_s = None
    framer = Framer(engine.frame_samples)
    for frame in framer.frames(Sound(echo, len(echo) / HEARING_HZ)):
        guard.heard(frame)
        if detected_s is None and engine.hear(frame.pcm):
            detected_s = frame.time_s
            end_s = detected_s - engine.delay_s
            assert guard.own_voice(end_s - WINDOW_S, end_s)
    assert detected_s is not None
    engine.close()


# Porcupine, as far as possible without a key


@pytest.mark.parametrize("key", ["not-a-key", "x" * 54 + "=="])
def test_porcupine_refuses_a_bad_key_in_one_line(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv(porcupine.KEY, key)
    with pytest.raises(MissingPart, match=r"check the key at console\.picovoice\.ai") as caught:
        porcupine.Porcupine("porcupine", 0.5)
    assert "\n" not in str(caught.value)
    assert key not in str(caught.value)


@pytest.mark.parametrize(
    "key",
    ["first-half=\nsecond-half=", "first-half=\r\nsecond-half=\n", "first-half= second-half="],
)
def test_a_key_with_a_line_break_is_masked_too(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv(porcupine.KEY, key)
    for quoted in (key, repr(key), key.strip(), " ".join(key.split()), key.split()[1]):
        line = str(porcupine.refused(ValueError(f"the key '{quoted}' is not valid")))
        assert "half" not in line
        assert "\n" not in line


def test_porcupine_without_a_key_says_where_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(porcupine.KEY, raising=False)
    with pytest.raises(MissingPart, match="PICOVOICE_ACCESS_KEY, got none; make one at console"):
        porcupine.Porcupine()


def test_porcupine_refuses_unknown_phrases_and_broken_files(
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


def test_porcupine_gets_frames_of_the_length_that_its_library_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The library's own class checks the length of each frame; only its activation, which needs a key,
    is replaced. The native library states that length."""
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


@pytest.mark.command
def test_user_input_imports_without_any_sound_library() -> None:
    """The modules that listen import where no device SDK is installed."""
    names = ("pymicro_wakeword", "pvporcupine", "pocketsphinx", "evdev", "sounddevice", "av")
    script = (
        f"import sys\nfor n in {names}: sys.modules[n] = None\n"
        "import engine.app.user_input, engine.app.builders.loops"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
