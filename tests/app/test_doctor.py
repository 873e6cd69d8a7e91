"""The doctor reports what is missing, and does not depend on what it checks for."""

import sys
from collections.abc import Callable

import pytest

from engine import doctor


@pytest.mark.parametrize(
    ("library", "check", "piece"),
    [
        ("torch", doctor.check_gpu, "GPU"),
        ("sounddevice", lambda: doctor.check_audio("speaker"), "speaker"),
        ("sounddevice", lambda: doctor.check_audio("microphone"), "microphone"),
        ("pymicro_wakeword", doctor.check_micro_wake_word, "microWakeWord"),
        ("evdev", doctor.check_media_keys, "headset buttons"),
    ],
)
def test_a_missing_library_is_a_finding(
    monkeypatch: pytest.MonkeyPatch,
    library: str,
    check: Callable[[], doctor.Finding],
    piece: str,
) -> None:
    monkeypatch.setitem(sys.modules, library, None)  # its import fails
    finding = check()
    assert (finding.piece, finding.state) == (piece, "no")
    assert library.replace("_", "-") in finding.detail.replace("_", "-")
    assert finding.costs
    assert finding.mend


@pytest.mark.parametrize(("key", "state"), [("", "no"), ("a-key", "yes")])
def test_porcupine_needs_a_key(monkeypatch: pytest.MonkeyPatch, key: str, state: str) -> None:
    monkeypatch.setenv("PICOVOICE_ACCESS_KEY", key)
    finding = doctor.check_porcupine()
    assert finding.state == state
    assert key == "" or key not in finding.detail
    assert key or "console.picovoice.ai" in finding.mend


def test_wake_word_and_commands_need_no_key() -> None:
    assert doctor.check_micro_wake_word().state == "yes"
    assert doctor.check_recogniser().state == "yes"
