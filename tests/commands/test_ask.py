"""Asking by voice, and the experiments that measure it, over the tiny pack."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.config import Config, SpeechConfig
from experiments.latency import answers
from experiments.latency.throughput import configuration
from experiments.quality import synthetic_speech, wake_words
from experiments.quality.synthetic_speech import in_a_row, pause, say, with_noise, write_wav
from tests.fakes.command import run_here, session

pytestmark = pytest.mark.weights


def test_a_wake_phrase_is_answered_and_a_spoken_command_executed(tmp_path: Path) -> None:
    phrases = [say("okay nabu", "gmw/en-us", 170), say("tell me more", "gmw/en-us", 160)]
    samples, _ = in_a_row(phrases, [0.8, 0.4])
    pcm = with_noise(np.concatenate([samples, pause(1.0)]), 35.0, seed=0)
    wav = write_wav(tmp_path / "asked.wav", pcm)
    shown = run_here(
        tmp_path, "trigger=wake", f"trigger.wake.path={wav}", "source=sample",
        "source.max_frames=120", "mode=quick", "speech=silent", "speech.rate_wpm=450", "answer.signs=false",
    )  # fmt: skip
    assert 'say "okay nabu" (microwakeword, recording); spoken commands' in shown
    asked = [r for r in session(tmp_path) if r["type"] == "description"]
    assert [r["trigger"] for r in asked] == ["wake", "wake"]
    assert all(r["latency_ms"]["wake"] > 0 for r in asked)
    hearing = json.loads((tmp_path / "summary.json").read_text())["hearing"]
    assert (hearing["wakes"], hearing["commands"], hearing["overruns"]) == (1, 1, 0)
    assert hearing["heard_s"] == pytest.approx(len(pcm) / 16000, abs=0.1)


def test_answer_latency_ends_in_one_line_of_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def hasty(*settings: Any) -> Config:
        return replace(configuration(*settings), speech=SpeechConfig("silent", rate_wpm=450))

    monkeypatch.setattr(answers, "configuration", hasty)
    monkeypatch.setattr(answers, "LEAD_IN_S", 0.8)
    options = ["--questions", "1", "--warm-ups", "0", "--gap", "1.0", "--device", "cpu"]
    assert answers.main(["--modes", "quick", "full", *options]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    for mode in ("quick", "full"):
        assert 0 < result[mode]["p50_ms"] <= result[mode]["p95_ms"]
    assert -200 < result["wake_delay_ms"] < 1000


def test_wake_words_ends_in_one_line_of_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake_words, "VOICES", synthetic_speech.VOICES[:1])
    monkeypatch.setattr(wake_words, "RATES_WPM", (190,))
    monkeypatch.setattr(wake_words, "SNR_DB", (40.0,))
    monkeypatch.setattr(wake_words, "NOT_COMMANDS", wake_words.NOT_COMMANDS[:1])
    monkeypatch.setattr(wake_words, "COMMANDS", wake_words.COMMANDS[:1])
    assert wake_words.main(["--minutes", "0.2"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["hit_rate"]["alexa 0.5"] == {"40": 1.0}
    assert result["commands_said"] == 1
    low, mid, high = result["hint_before_ms_p10_p50_p90"]["alexa"]
    assert 0 < low <= mid <= high < 1000
    assert set(result["hints_a_minute"]) == {"texts", "near phrases"}
