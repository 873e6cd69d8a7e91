"""End to end: asking by voice and by pipe, with the real command over the tiny pack."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from experiments.quality.synthetic_speech import in_a_row, pause, say, with_noise, write_wav
from tests.fakes.command import engine, session


def test_a_spoken_phrase_is_answered_and_a_spoken_command_obeyed(tmp_path: Path) -> None:
    phrases = [say("okay nabu", "gmw/en-us", 170), say("tell me more", "gmw/en-us", 160)]
    samples, _ = in_a_row(phrases, [1.5, 0.4])
    pcm = with_noise(np.concatenate([samples, pause(1.0)]), 35.0, seed=0)
    wav = write_wav(tmp_path / "asked.wav", pcm)
    done = engine(
        "trigger=wake", f"trigger.wake.path={wav}", "source=sample", "mode=quick", "speech=wav",
        f"hydra.run.dir={tmp_path}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert 'say "okay nabu" (microwakeword, recording); spoken commands' in " ".join(
        done.stdout.split()
    )
    records = session(tmp_path)
    asked = [r for r in records if r["type"] == "description"]
    assert [r["trigger"] for r in asked] == ["wake", "wake"]
    assert all(r["latency_ms"]["wake"] > 0 for r in asked)
    hearing = json.loads((tmp_path / "summary.json").read_text())["hearing"]
    assert (hearing["wakes"], hearing["commands"], hearing["overruns"]) == (1, 1, 0)
    assert hearing["heard_s"] == pytest.approx(len(pcm) / 16000, abs=0.1)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["trigger.wake.path=nowhere.wav"], "expected a sound file, got nowhere.wav"),
        (["trigger.wake.engine=porcupine"], "make one at console.picovoice.ai"),
    ],
)
def test_what_cannot_be_heard_is_refused_in_one_line(
    tmp_path: Path, overrides: list[str], said: str
) -> None:
    wav = write_wav(tmp_path / "quiet.wav", np.zeros(16000, np.int16))
    done = engine(
        "trigger=wake", f"trigger.wake.path={wav}", "source=sample", *overrides,
        f"hydra.run.dir={tmp_path / 'run'}", env={"PICOVOICE_ACCESS_KEY": ""},
    )  # fmt: skip
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_answer_latency_ends_in_one_line_of_json() -> None:
    done = engine(
        "--modes", "quick", "full", "--questions", "1", "--warm-ups", "0", "--gap", "1.5",
        "--device", "cpu",
        module="experiments.latency.answers",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    for mode in ("quick", "full"):
        assert 0 < result[mode]["p50_ms"] <= result[mode]["p95_ms"]
    assert -200 < result["wake_delay_ms"] < 1000


def test_wake_words_ends_in_one_line_of_json() -> None:
    script = (
        "import experiments.quality.wake_words as w, experiments.quality.synthetic_speech as s;"
        "w.VOICES = s.VOICES[:1]; w.RATES_WPM = (190,); w.SNR_DB = (40.0,);"
        "w.NOT_COMMANDS = w.NOT_COMMANDS[:1]; w.COMMANDS = w.COMMANDS[:1];"
        "raise SystemExit(w.main(['--minutes', '0.2']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["hit_rate"]["alexa 0.5"] == {"40": 1.0}
    assert result["commands_said"] == 1
    low, mid, high = result["hint_before_ms_p10_p50_p90"]["alexa"]
    assert 0 < low <= mid <= high < 1000
    assert set(result["hints_a_minute"]) == {"texts", "near phrases"}
