"""Where the server for the glasses listens: on the interface that leads to them, and nowhere else."""

import socket
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.core.errors import LinkLost
from engine.devices.aria import host_address as module
from engine.devices.aria.host_address import (
    address_of,
    address_of_a_connection,
    address_towards,
    host_address,
    usb_interfaces,
)


class Row(NamedTuple):
    family: int
    address: str


ADDRESSES = {
    "lo": [Row(socket.AF_INET, "127.0.0.1")],
    "wlan0": [Row(socket.AF_INET, "10.1.1.5"), Row(socket.AF_INET6, "fe80::5%wlan0")],
    "usb0": [Row(socket.AF_INET6, "fe80::7%usb0"), Row(socket.AF_INET, "192.168.42.2")],
    "down0": [],
}


@pytest.mark.parametrize(
    ("local", "expected"),
    [
        (["192.168.42.2"], "192.168.42.2"),
        (["fe80::7"], "192.168.42.2"),
        (["fe80::7%usb0", "127.0.0.1"], "192.168.42.2"),
        (["10.1.1.5", "192.168.42.2"], None),  # which one leads to the glasses is not known
        (["127.0.0.1"], None),
        ([], None),
    ],
)
def test_the_connection_of_the_sdk_names_the_interface(
    local: list[str], expected: str | None
) -> None:
    assert address_of_a_connection(local, ADDRESSES) == expected


def test_linux_lists_the_interfaces_at_usb(tmp_path: Path) -> None:
    for name, driver in (("usb0", "cdc_ncm"), ("eth0", "e1000")):
        (tmp_path / "drivers" / driver).mkdir(parents=True)
        (tmp_path / "net" / name / "device").mkdir(parents=True)
        (tmp_path / "net" / name / "device/driver").symlink_to(tmp_path / "drivers" / driver)
    assert usb_interfaces(tmp_path / "net") == ["usb0"]
    assert address_of(["down0", "usb0"], ADDRESSES) == "192.168.42.2"
    assert usb_interfaces(tmp_path / "none") == []


def test_over_wifi_the_route_to_the_glasses_decides() -> None:
    assert host_address("127.0.0.1") == "127.0.0.1"
    with pytest.raises(LinkLost, match="IP address that can be reached"):
        address_towards("999.0.0.1")


def test_without_glasses_at_usb_nothing_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.net_if_addrs", lambda: {"lo": ADDRESSES["lo"]})
    monkeypatch.setattr(module, "usb_interfaces", list)
    with pytest.raises(LinkLost, match=r"source\.address=IP"):
        host_address(None)
