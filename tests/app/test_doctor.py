"""The checks of `python -m engine.doctor`: each has to work where its library is missing."""

import sys
from collections.abc import Callable

import pytest

from engine import doctor
from engine.devices import checks
from engine.devices.checks import Finding


@pytest.mark.parametrize(
    ("library", "check", "piece"),
    [
        ("torch", doctor.gpu, "GPU"),
        ("sounddevice", checks.speaker, "speaker"),
        ("sounddevice", checks.microphone, "microphone"),
        ("pymicro_wakeword", checks.micro_wake_word, "microWakeWord"),
        ("evdev", checks.media_keys, "headset buttons"),
    ],
)
def test_a_missing_library_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, library: str, check: Callable[[], Finding], piece: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)  # makes its import fail
    finding = check()
    assert (finding.piece, finding.state) == (piece, "no")
    assert library.replace("_", "-") in finding.detail.replace("_", "-")
    assert finding.costs
    assert finding.fix


@pytest.mark.parametrize("distribution", ["ultralytics", "ultralytics-opencv-headless"])
def test_either_distribution_of_ultralytics_serves(
    monkeypatch: pytest.MonkeyPatch, distribution: str
) -> None:
    other = {"ultralytics", "ultralytics-opencv-headless"} - {distribution}
    monkeypatch.setattr(
        doctor, "installed_version", lambda name: None if name in other else "8.4.0"
    )
    assert doctor.libraries().state == "yes"
    assert "ultralytics 8.4.0" in doctor.libraries().detail


def test_missing_libraries_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        doctor, "installed_version", lambda name: None if "ultralytics" in name else "1.0"
    )
    finding = doctor.libraries()
    assert (finding.state, finding.detail) == ("needed", "no ultralytics")


@pytest.mark.parametrize(("key", "state"), [("", "no"), ("a-key", "yes")])
def test_porcupine_needs_a_key(monkeypatch: pytest.MonkeyPatch, key: str, state: str) -> None:
    monkeypatch.setenv("PICOVOICE_ACCESS_KEY", key)
    finding = checks.porcupine()
    assert finding.state == state
    assert key == "" or key not in finding.detail
    assert key or "console.picovoice.ai" in finding.fix


def test_voice_and_wake_word_without_a_key_are_installed() -> None:
    assert checks.voice().state == "yes"
    assert checks.micro_wake_word().state == "yes"
    assert checks.recogniser().state == "yes"


def test_the_exit_status_says_whether_the_engine_can_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    voice = Finding("voice", "needed", "not installed", "nothing can be said", "make setup")
    camera = Finding("camera", "no", "none", "source=auto plays the sample", "plug one in")
    monkeypatch.setattr(sys, "argv", ["doctor"])
    for findings, status, last in (
        ([camera], 0, "ready: python -m engine mode=auto"),
        ([camera, voice], 1, "cannot run: voice"),
    ):
        monkeypatch.setattr(doctor, "examine", lambda findings=findings: findings)
        assert doctor.main() == status
        assert capsys.readouterr().out.strip().splitlines()[-1] == last
