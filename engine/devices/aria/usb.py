"""Which Aria glasses are plugged in, from Linux's list of USB devices. Knows no SDK."""

from pathlib import Path
from typing import Literal

Generation = Literal["gen1", "gen2"]

DEVICES = Path("/sys/bus/usb/devices")
VENDOR = "2833"  # vendor and products as in the SDK's udev rules
PRODUCTS: dict[str, Generation] = {"0300": "gen1", "9001": "gen2", "9002": "gen2"}


def plugged_in(devices: Path = DEVICES) -> Generation | None:
    """The generation of the first glasses found; None if none or unknown (macOS)."""
    for folder in sorted(devices.glob("*")):
        if _read(folder / "idVendor") == VENDOR:
            found = PRODUCTS.get(_read(folder / "idProduct"))
            if found is not None:
                return found
    return None


def attached(devices: Path = DEVICES) -> bool:
    """Whether any device of this vendor is plugged in, in any mode."""
    return any(_read(folder / "idVendor") == VENDOR for folder in devices.glob("*"))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip().lower()
    except (OSError, UnicodeError):
        return ""
