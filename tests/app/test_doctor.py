"""The doctor is called when something is missing: it must not need what it looks for."""

import sys

import pytest

from engine import doctor


@pytest.mark.parametrize(
    ("library", "look", "piece"),
    [
        ("torch", doctor._gpu, "GPU"),
        ("sounddevice", lambda: doctor._microphone_or_speaker("speaker"), "speaker"),
        ("sounddevice", lambda: doctor._microphone_or_speaker("microphone"), "microphone"),
        ("pymicro_wakeword", doctor._micro_wake_word, "microWakeWord"),
        ("evdev", doctor._media_keys, "headset buttons"),
    ],
)
def test_a_missing_library_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, library: str, look: object, piece: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)  # its import fails
    assert callable(look)
    finding = look()
    assert (finding.piece, finding.state) == (piece, "no")
    assert library.replace("_", "-") in finding.detail.replace("_", "-")
    assert finding.costs
    assert finding.mend


@pytest.mark.parametrize(("key", "state"), [("", "no"), ("a-key", "yes")])
def test_porcupine_needs_a_key(monkeypatch: pytest.MonkeyPatch, key: str, state: str) -> None:
    monkeypatch.setenv("PICOVOICE_ACCESS_KEY", key)
    finding = doctor._porcupine()
    assert finding.state == state
    assert key == "" or key not in finding.detail
    assert key or "console.picovoice.ai" in finding.mend


def test_what_needs_no_key_is_here() -> None:
    assert doctor._micro_wake_word().state == "yes"
    assert doctor._recogniser().state == "yes"
