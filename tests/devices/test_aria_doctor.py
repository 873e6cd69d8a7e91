"""The steps that `python -m engine.doctor aria` reports, and the next command."""

from pathlib import Path
from typing import Literal

import pytest

from engine.devices.aria.doctor import (
    HostPaths,
    ReachableGlasses,
    SetupStep,
    main,
    report_lines,
    steps,
)
from engine.devices.aria.live import DeviceStatus


class Glasses:
    """A link to glasses in a state that the test sets."""

    profile = "profile18"

    def __init__(
        self, fails: str = "", condition: DeviceStatus | None = None, profiles: tuple[str, ...] = ()
    ) -> None:
        self._fails = fails
        self._condition = condition
        self._profiles = profiles or (self.profile, "profile28")
        self.closed = 0

    def pair(self) -> None:
        self._fails = ""

    def connect(self) -> None:
        if self._fails:
            raise RuntimeError(self._fails)

    def profiles(self) -> list[str]:
        return list(self._profiles)

    def status(self) -> DeviceStatus | None:
        return self._condition

    def close(self) -> None:
        self.closed += 1


def machine(
    folder: Path, rules: bool = True, plugged: bool = True, certified: bool = True
) -> HostPaths:
    found = HostPaths(folder / "52-aria.rules", folder / "usb", folder / "root_ca.pem", linux=True)
    if rules:
        found.rules.write_text('SUBSYSTEM=="usb", ATTRS{idVendor}=="2833", MODE="0666"\n')
    if plugged:
        (found.devices / "1-1").mkdir(parents=True)
        (found.devices / "1-1" / "idVendor").write_text("2833\n")
    if certified:
        found.certificate.write_text("certificate")
    return found


WELL = DeviceStatus(80, False, 33.0)


def said(found: list[SetupStep]) -> str:
    return report_lines(found)[-1]


def test_when_all_steps_are_done_the_next_command_is_the_engine(tmp_path: Path) -> None:
    glasses = Glasses(condition=WELL)
    found = steps("gen1", None, lambda: glasses, machine(tmp_path))
    assert [step.name for step in found] == [
        "SDK", "USB rules", "USB", "certificates", "pairing", "profile", "battery", "heat",
    ]  # fmt: skip
    assert all(step.done for step in found)
    assert said(found) == "next: python -m engine source=aria"
    assert glasses.closed == 1


@pytest.mark.parametrize(
    ("generation", "here", "glasses", "next_step"),
    [
        ("gen1", {"rules": False}, Glasses(condition=WELL), "(USB rules): aria_doctor"),
        ("gen1", {"plugged": False}, Glasses("(-4) no device"), "(USB): plug them in"),
        ("gen1", {}, Glasses("(10) not authenticated"), "(pairing): python -m engine.doctor"),
        ("gen2", {}, Glasses("(10) not authenticated"), "(pairing): python -m engine.doctor"),
        (
            "gen2",
            {"certified": False},
            Glasses(condition=WELL),
            "(certificates): aria_gen2 streaming install-certs",
        ),
        (
            "gen1",
            {},
            Glasses(condition=WELL, profiles=("profile12",)),
            "(profile): choose one with source.profile=NAME: profile12",
        ),
        ("gen1", {}, Glasses(condition=DeviceStatus(9, False, 30.0)), "(battery): charge them"),
        ("gen1", {}, Glasses(condition=DeviceStatus(90, False, 45.0)), "(heat): take them off"),
    ],
)
def test_the_first_step_that_is_not_done_names_its_command(
    generation: Literal["gen1", "gen2"],
    here: dict[str, bool],
    glasses: ReachableGlasses,
    next_step: str,
    tmp_path: Path,
) -> None:
    found = steps(generation, None, lambda: glasses, machine(tmp_path, **here))
    assert said(found).startswith(f"next {next_step}")


def test_pairing_is_requested_with_pair(tmp_path: Path) -> None:
    def glasses() -> Glasses:
        return Glasses("(10) not authenticated", WELL)

    assert said(steps("gen1", None, glasses, machine(tmp_path))).startswith("next (pairing)")
    (tmp_path / "second").mkdir()
    found = steps("gen1", None, glasses, machine(tmp_path / "second"), pair=True)
    assert said(found) == "next: python -m engine source=aria"


def test_steps_after_a_failed_one_are_unknown(tmp_path: Path) -> None:
    found = steps("gen1", None, lambda: Glasses("(-4) gone"), machine(tmp_path))
    assert {step.name for step in found if step.done is None} == {"profile", "battery", "heat"}


def test_over_wifi_usb_is_not_checked(tmp_path: Path) -> None:
    here = machine(tmp_path, rules=False, plugged=False)
    found = steps("gen1", "192.168.1.4", lambda: Glasses(condition=WELL), here)
    assert "USB" not in {step.name for step in found}
    assert said(found) == "next: python -m engine source=aria"


def test_without_glasses_the_real_sdk_fails_to_connect_and_the_status_is_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main("gen2", "127.0.0.1") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Aria Gen 2"
    assert any(line.startswith("pairing: to do; they do not answer") for line in lines)
    assert lines[-1].startswith("next (")
