"""The checks of `python -m engine.doctor`: each has to work where its library is missing."""

import json
import sys
import threading
from collections.abc import Callable

import pytest

from engine import doctor
from engine.core.extras import pip_install
from engine.devices import checks
from engine.devices.checks import Finding


@pytest.mark.parametrize(
    ("library", "check", "piece"),
    [
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


def test_a_missing_library_of_the_base_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "installed_version", lambda name: None if name == "av" else "1.0")
    finding = doctor.libraries()
    assert (finding.state, finding.detail) == ("needed", "no av")


def test_torch_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "installed_version", lambda name: None)
    finding = checks.torch()
    assert (finding.state, finding.fix) == ("no", pip_install("torch"))


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


VOICE = Finding("voice", "needed", "not installed", "nothing can be said", "make setup")
CAMERA = Finding("camera", "no", "none", "source=auto plays the sample", "plug one in")
HUB = Finding("hub describer", "no", "not pulled", "the small one is used", "python -m models pull")
LONG = Finding("a headset", "no", "word " * 40, "its buttons " * 12, "connect it " * 15)
FINDINGS = [Finding("libraries", "yes", "all"), CAMERA, HUB, LONG]


@pytest.mark.parametrize(
    ("findings", "status", "commands"),
    [
        ([CAMERA], 0, ["python -m engine mode=auto", "python -m engine PHOTO"]),
        ([CAMERA, HUB], 0, ["python -m engine mode=auto", "python -m models pull"]),
        ([CAMERA, VOICE], 1, ["make setup", "python -m engine.doctor"]),
    ],
)
@pytest.mark.parametrize("form", ["--plain", "--json", ""])
def test_the_report_ends_with_two_commands_and_a_status(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    findings: list[Finding],
    status: int,
    commands: list[str],
    form: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["doctor", *([form] if form else [])])
    monkeypatch.setattr(doctor, "examine", lambda: findings)
    assert doctor.main() == status
    out = capsys.readouterr().out
    if form == "--json":
        told = json.loads(out)
        assert told["next"] == commands
        assert told["ready"] == (status == 0)
        assert [item["piece"] for item in told["findings"]] == [item.piece for item in findings]
    else:
        assert out.splitlines()[-2:] == [f"next: {command}" for command in commands]
        assert form or max(map(len, out.splitlines())) <= 80  # in a pipe too


def test_the_report_fits_80_columns_without_breaking_words() -> None:
    shown = doctor.report(FINDINGS)
    assert max(map(len, shown.splitlines())) <= 80
    words = " ".join(shown.split())
    for item in FINDINGS[1:]:
        for text in (item.detail, f"without it: {item.costs}", f"fix: {item.fix}"):
            assert " ".join(text.split()) in words


def test_a_plain_report_has_one_line_a_piece() -> None:
    lines = doctor.plain(FINDINGS).splitlines()
    assert len(lines) == 1 + len(FINDINGS) + 3
    assert "camera: no. none. Without it: source=auto plays the sample. Fix: plug one in." in lines


def test_a_check_that_hangs_or_fails_is_a_finding() -> None:
    forever = threading.Event()

    def hangs() -> list[Finding]:
        forever.wait()
        return [CAMERA]

    def fails() -> list[Finding]:
        raise OSError("odd")

    found = doctor.examine({"a": hangs, "b": fails, "c": lambda: [CAMERA]}, limit_s=0.05)
    forever.set()
    assert [(item.piece, item.state) for item in found] == [
        ("a", "no"),
        ("b", "no"),
        ("camera", "no"),
    ]
    assert found[0].detail == "no answer within 0.05 s"
    assert found[1].detail == "OSError: odd"
