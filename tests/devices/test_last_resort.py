"""The way to a wearer whose voice or sink is lost: another program, and the bell."""

import wave
from pathlib import Path

import numpy as np
import pytest

from engine.core.sound import Samples
from engine.devices.sound.last_resort import PLAYERS, Player
from tests.fakes.stage import RATE_HZ, ToneVoice


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that a player of this machine keeps a copy of."""
    copy = tmp_path / "copy.wav"
    program = tmp_path / PLAYERS[1]
    program.write_text(f'#!/bin/sh\n/bin/cp "$1" {copy}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return copy


def test_a_prepared_sentence_is_played_though_the_voice_fails_now(played: Path) -> None:
    class FailingLater(ToneVoice):
        def synthesise(self, text: str) -> Samples:
            if played.exists():
                raise ValueError("the voice is broken")
            return super().synthesise(text)

    rung: list[str] = []
    voice = FailingLater(0.5)
    player = Player(voice, ["I lost the camera."], rung.append)
    player.prepared()
    played.write_bytes(b"")
    player.sound("I lost the camera.")
    player.close()
    with wave.open(str(played)) as file:
        assert (file.getnchannels(), file.getframerate()) == (1, RATE_HZ)
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    assert len(pcm) == round(0.4 * RATE_HZ)
    assert np.abs(pcm).max() == round(0.5 * 32767)
    assert rung == ["I lost the camera."]


def test_without_a_player_only_the_bell_rings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    rung: list[str] = []
    player = Player(ToneVoice(), ["one"], rung.append)
    player.sound("one")
    player.sound("another, which was not prepared")
    player.close()
    assert rung == ["one", "another, which was not prepared"]
