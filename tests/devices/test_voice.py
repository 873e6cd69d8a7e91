"""The real voice: espeak-ng through pyttsx3."""

import threading
from pathlib import Path

import espeakng_loader
import numpy as np
import pytest

from engine.audio.loudness import VOICE_LUFS, VOICE_PEAK, loudness_lufs
from engine.core.errors import SpeechFailed
from engine.core.preferences import Language
from engine.core.sound import Pcm
from engine.devices.sound.espeak import SAMPLE_RATE_HZ, Espeak, espeak
from engine.devices.sound.voice import Pyttsx3Voice

WORDS: dict[Language, list[str]] = {
    "en": [
        "person",
        "bus",
        "left",
        "ahead",
        "two meters",
        "a parked car",
        "stairs",
        "a wet street",
    ],
    "es": ["persona", "autobús", "izquierda", "delante", "dos metros", "un coche", "niño", "calle"],
}


def sentences(language: Language, count: int) -> list[str]:
    words = WORDS[language]
    return [
        ", ".join(words[(i + k) % len(words)] for k in range(1 + i % 6)) + f", {i}."
        for i in range(count)
    ]


@pytest.mark.parametrize("language", ["en", "es"])
def test_sentences_spoken_in_a_thread_are_complete_and_evenly_loud(language: Language) -> None:
    said: list[tuple[str, np.ndarray]] = []

    def work() -> None:
        voice = Pyttsx3Voice(language, 190)
        said.extend((text, voice.synthesise(text)) for text in sentences(language, 30))
        voice.close()

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(timeout=60)
    assert len(said) == 30
    lengths = np.array([len(text) for text, _ in said])
    seconds = np.array([len(samples) / SAMPLE_RATE_HZ for _, samples in said])
    assert np.corrcoef(lengths, seconds)[0, 1] > 0.9
    assert np.all(seconds > 0.25)
    for _, samples in said:
        assert samples.dtype == np.float32
        assert samples.ndim == 1
        assert np.abs(samples).max() <= VOICE_PEAK + 1e-4
        loudness = loudness_lufs(samples, SAMPLE_RATE_HZ)
        assert loudness == pytest.approx(VOICE_LUFS, abs=0.5)  # the tolerance of EBU R128
        assert np.flatnonzero(np.abs(samples) > 0.005)[0] < 0.01 * SAMPLE_RATE_HZ


@pytest.mark.parametrize("language", ["en", "es"])
def test_the_rate_holds_while_voices_alternate(language: Language) -> None:
    other = Pyttsx3Voice("es" if language == "en" else "en", 240)
    slow, fast = Pyttsx3Voice(language, 150), Pyttsx3Voice(language, 300)
    for text in sentences(language, 6)[3:]:
        long_s = len(slow.synthesise(text))
        other.synthesise(text)
        short_s = len(fast.synthesise(text))
        assert 1.6 < long_s / short_s < 2.6


def test_each_language_has_its_own_voice() -> None:
    text = "a la derecha, un niño"
    spoken = [Pyttsx3Voice(language, 190).synthesise(text) for language in ("en", "es")]
    assert len(spoken[0]) != len(spoken[1])


def test_two_voices_in_two_threads_do_not_mix() -> None:
    texts = sentences("en", 12)
    alone = [len(Pyttsx3Voice("en", 190).synthesise(text)) for text in texts]
    found: dict[int, list[int]] = {}

    def work(rate_wpm: int) -> None:
        voice = Pyttsx3Voice("en", rate_wpm)
        found[rate_wpm] = [len(voice.synthesise(text)) for text in texts]

    threads = [threading.Thread(target=work, args=(rate,)) for rate in (190, 400)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert np.allclose(found[190], alone, rtol=0.05, atol=1000)
    assert all(fast < slow for fast, slow in zip(found[400], found[190], strict=True))


def test_no_memory_behind_the_text_is_read() -> None:
    padding = "\0" * 50_000_000  # ten times as much is more than lies behind it
    assert len(espeak().speech("stop now", "gmw/en-us", 190)) > 0
    assert len(espeak().speech(f"stop now{padding}", "gmw/en-us", 190)) > 0


@pytest.mark.parametrize("text", ["", "   ", "...", "¡!", "\x00\x07\n"])
def test_text_without_words_gives_no_sound(text: str) -> None:
    assert len(Pyttsx3Voice("en", 190).synthesise(text)) == 0


@pytest.mark.parametrize("text", ["stop\x00 now", "\ud800 hi", "<b>[[x]] & 5%", "你好", "a 🚌 bus"])
def test_unusual_characters_are_handled(text: str) -> None:
    voice = Pyttsx3Voice("en", 190)
    assert len(voice.synthesise(text)) > 0
    assert len(voice.synthesise("stop now")) > 0.3 * SAMPLE_RATE_HZ


@pytest.mark.parametrize(("bad", "raises"), [(1, False), (2, False), (3, True)])
def test_an_attempt_without_sound_is_repeated(
    bad: int, raises: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice = Pyttsx3Voice("en", 190)
    attempt = Espeak.attempt
    tries: list[str] = []

    def flaky(self: Espeak, text: str, name: str, rate_wpm: int, pitch: int) -> Pcm:
        tries.append(text)
        if len(tries) > bad:
            return attempt(self, text, name, rate_wpm, pitch)
        return np.zeros(0, np.int16)

    monkeypatch.setattr(Espeak, "attempt", flaky)
    if raises:
        with pytest.raises(SpeechFailed, match="could not be said"):
            voice.synthesise("stop")
    else:
        assert len(voice.synthesise("stop")) > 0
    assert len(tries) == min(bad + 1, 3)


def test_the_process_has_one_espeak_and_it_is_the_wheels() -> None:
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("Linux lists what a process has loaded")
    Pyttsx3Voice("en", 190)
    loaded = {line.split()[-1] for line in maps.read_text().splitlines() if "libespeak" in line}
    assert loaded == {espeakng_loader.get_library_path()}


def test_repeated_sentences_are_cached_and_nothing_is_printed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    voice = Pyttsx3Voice("en", 190)
    first = voice.synthesise("obstacle ahead")
    assert voice.synthesise(" obstacle\tahead ") is first
    assert capfd.readouterr() == ("", "")
