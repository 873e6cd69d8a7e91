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
    ],
)
def test_a_missing_library_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, library: str, look: object, piece: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)  # its import fails
    assert callable(look)
    finding = look()
    assert (finding.piece, finding.state) == (piece, "no")
    assert library in finding.detail
    assert finding.costs
    assert finding.mend
