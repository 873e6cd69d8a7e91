"""Uses a checkpoint folder given by models.describer.path instead of a pack's describer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.core.errors import MissingPart
from engine.core.preferences import Language
from models.hub import HUB
from models.packs import PackFiles, find_pack

UNCHECKED = "own, nothing vouches for it"  # the first screen and the log say so
LARGE_BYTES = 300_000_000  # of weights; from here on, memory traffic limits the speed


def find_checkpoint(pack: str, path: str | None) -> PackFiles:
    """The describer of a pack, or the checkpoint at `path`. Raises MissingPart if there is none."""
    if path is None:
        return find_pack("describer", pack)
    root = Path(path).expanduser()
    if not (root / "config.json").is_file():
        raise MissingPart(
            f"models.describer.path={path}: expected a folder with config.json and *.safetensors, "
            "got none"
        )
    remedy = "set models.describer.path to a whole checkpoint, or to null"
    return CustomCheckpoint("describer", UNCHECKED, root, {}, remedy)


def languages_of(settings: Mapping[str, Any]) -> tuple[Language, ...]:
    """The languages that a describer with these settings speaks; English if they name none."""
    return tuple(settings.get("languages") or ("en",))


class CustomCheckpoint(PackFiles):
    """A pack that is one folder without a manifest, so its files are not checked."""

    def forms(self) -> dict[str, str]:
        return {"torch": ".", "openvino": "."}

    def open(self, path: str) -> Path:
        return self.root / path

    def settings(self) -> dict[str, Any]:
        """The hub describer's settings: the checkpoint is taken to be a FastVLM of the same
        kind."""
        size = sum(path.stat().st_size for path in self.root.glob("*.safetensors"))
        name = self.root.resolve().name
        return {**HUB["describer"].settings, "name": name, "large": size >= LARGE_BYTES}
