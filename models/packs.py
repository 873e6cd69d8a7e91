"""Finds the files of a tier in a pack of weights, and checks them before they are opened.

A pack's `manifest.json` lists every file with its sha256. Imports no library that could open a
model, and never uses the network.
"""

import importlib.util
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.core.errors import MissingPart
from engine.core.extras import pip_install
from engine.core.files import sha256_of
from models.hub import HUB, OPTIONAL, TIERS, hub_home, pull_command
from models.runtime.graphs import FORM_JSON, stores
from models.trust import PICKLES, TRUST, is_trusted

# SCENE_ARIA_POCKET names a pocket pack to use instead of the shipped one, for example after
# training.
POCKET = Path(os.environ.get("SCENE_ARIA_POCKET", Path(__file__).parent / "pocket"))
MANIFEST = "manifest.json"
WEIGHT_SUFFIXES = {
    ".pt", ".safetensors", ".onnx", ".xml", ".bin", ".yaml", ".json", ".txt", ".jinja"
}  # fmt: skip


# pack -> tier -> backend -> the file or folder that it reads; a pack may ship fewer. `python -m models
# build` makes the forms for OpenVINO.
FORMS: dict[str, dict[str, dict[str, str]]] = {
    "pocket": {
        "detector": {"torch": "detector.pt", "openvino": "detector_openvino_model"},
        "scenes": {"torch": "scenes.safetensors", "openvino": "scenes_openvino_model"},
        "describer": dict.fromkeys(("torch", "openvino"), "describer"),
    },
    "hub": {
        "detector": {"torch": "yolo11n.pt", "openvino": "detector_openvino_model"},
        "scenes": {"torch": "model.safetensors", "openvino": "scenes_openvino_model"},
        "describer": dict.fromkeys(("torch", "openvino"), "."),
        **{tier: {"torch": ".", "openvino": "depth_openvino_model"} for tier in OPTIONAL},
    },
}


@dataclass(frozen=True)
class PackFiles:
    """The files of one tier in one pack. `files`: relative path -> (sha256, bytes), from the
    manifest. `remedy`: the command that repairs them."""

    tier: str
    pack: str
    root: Path
    files: Mapping[str, tuple[str, int]]
    remedy: str

    def forms(self) -> dict[str, str]:
        """backend -> relative path, for the forms that this pack has of this tier."""
        known = FORMS[self.pack][self.tier]
        return {backend: path for backend, path in known.items() if self._within(path)}

    def open(self, path: str) -> Path:
        """The full path of one file or folder, after checking its sha256 against the manifest. A
        pickle must also be trusted by its digest (`models.trust`).

        Raises MissingPart with the file, what was expected and what was found.
        """
        listed = self._within(path)
        if not listed:
            raise self._refuse(path, "a file listed in its manifest", "none")
        for name in listed:
            self._check(name)
        full_path = self.root / path
        if full_path.is_dir():
            self._check_no_others(full_path)
            self._check_stores(path)
        return full_path

    def settings(self) -> dict[str, Any]:
        """The adapter's settings for these weights. Raises MissingPart if they cannot be read."""
        if self.pack == "hub":
            model = HUB[self.tier]
            return {"name": model.name, **model.settings}
        path = f"{self.tier}.json"
        try:
            values = json.loads(self.open(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise self._refuse(path, "JSON", str(error)) from None
        return {"name": f"{self.tier}-pocket", **values}

    def bytes(self) -> int:
        """The size of all files of this tier, from the manifest."""
        return sum(size for _, size in self.files.values())

    def damage(self) -> str:
        """The first fault in the presence and sizes of the files, or an empty string."""
        for name, (_, size) in self.files.items():
            path = self.root / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != size:
                return f"{name} has {path.stat().st_size} bytes, expected {size}"
        return ""

    def _within(self, path: str) -> list[str]:
        folder = "" if path == "." else f"{path}/"
        return [name for name in self.files if name == path or name.startswith(folder)]

    def _check(self, name: str) -> None:
        path = self.root / name
        if not path.is_file():
            raise self._refuse(name, "the file", "nothing there")
        expected, size = self.files[name]
        if path.stat().st_size != size:
            raise self._refuse(name, f"{size} bytes", f"{path.stat().st_size}")
        if (got := sha256_of(path)) != expected:
            raise self._refuse(name, f"sha256 {expected[:12]}…", f"{got[:12]}…")
        if path.suffix in PICKLES and not is_trusted(got):
            raise MissingPart(
                f"{self.pack} {self.tier}: {path}: expected a pickle that the engine knows, got "
                f"another, which may run any code; use models.backend=openvino, or, if you have made "
                f"it yourself, set {TRUST}={got}"
            )

    def _check_no_others(self, folder: Path) -> None:
        # A loader picks files by name, so an added file could replace a listed one.
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            hidden = any(part.startswith(".") for part in path.relative_to(self.root).parts)
            if path.is_file() and not hidden and name not in self.files and name != MANIFEST:
                raise self._refuse(name, "only files listed in the manifest", "one more")

    def _check_stores(self, path: str) -> None:
        # A form may read its weights from another file of the pack: the one that it was made from.
        try:
            found = stores(self.root / path)
        except (ValueError, TypeError, AttributeError) as error:
            raise self._refuse(f"{path}/{FORM_JSON}", "the facts of a form", str(error)) from None
        for name, sha256 in found.items():
            if self.files.get(name, ("", 0))[0] != sha256:
                raise MissingPart(
                    f"{self.pack} {self.tier}: {self.root / path}: expected {name} as this form was "
                    f"made from it, got another; run: python -m models build --pack {self.pack}"
                )
            self._check(name)

    def _refuse(self, name: str, expected: str, got: str) -> MissingPart:
        return MissingPart(
            f"{self.pack} {self.tier}: {self.root / name}: expected {expected}, got {got}; "
            f"to repair it: {self.remedy}"
        )


def pocket_home() -> Path:
    """The folder of the pocket pack."""
    return Path(os.environ.get("SCENE_ARIA_POCKET", POCKET))


def find_pack(
    tier: str, pack: str, *, pocket: Path | None = None, hub: Path | None = None
) -> PackFiles:
    """The files of `tier`. `auto` prefers the hub's model if it has been pulled completely.

    Raises MissingPart if the pack does not have that tier.
    """
    if pack in ("auto", "hub"):
        root = (hub_home() if hub is None else hub) / tier
        if (root / MANIFEST).is_file():
            return read_pack(tier, "hub", root)
        if pack == "hub":
            requested, instead = "models=hub", "models=pocket"
            if tier in OPTIONAL:
                requested, instead = f"obstacles.{tier.replace('-', '=')}", "obstacles.depth=off"
            raise MissingPart(
                f"{requested}: {HUB[tier].name} has not been pulled; run: {pull_command(tier)}, "
                f"or use {instead}"
            )
    if pack not in ("auto", "pocket"):
        raise MissingPart(f"models={pack}: expected auto, pocket or hub")
    return read_pack(tier, "pocket", pocket_home() if pocket is None else pocket)


def read_pack(tier: str, pack: str, root: Path) -> PackFiles:
    """The files listed in `root/manifest.json`. Raises MissingPart if it is missing, unreadable or
    lacks the tier."""
    remedy = "git checkout models/pocket" if pack == "pocket" else pull_command(tier)
    try:
        listed = read_manifest(root)["files"]
        files = {name: (str(row["sha256"]), int(row["bytes"])) for name, row in listed.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MissingPart(
            f"{pack} pack: {root / MANIFEST}: expected a manifest of files, got "
            f"{type(error).__name__}; to repair it: {remedy}"
        ) from None
    if pack == "pocket":  # one folder holds all tiers; file names identify them
        files = {name: row for name, row in files.items() if _tier_of(name) == tier}
    found = PackFiles(tier, pack, root, files, remedy)
    if not found.forms():
        raise MissingPart(
            f"{pack} pack: {root / MANIFEST}: lists no weights of the {tier}; to repair it: {remedy}"
        )
    return found


def read_manifest(root: Path) -> dict[str, Any]:
    """The parsed manifest. Raises OSError or ValueError."""
    content: dict[str, Any] = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    return content


def choose_form(files: PackFiles, requested: str, device: str) -> tuple[str, str]:
    """(backend, relative path) of the requested backend; `auto` is OpenVINO on a CPU, else torch.

    Raises MissingPart if the pack has no such form, or the backend does not run on the device.
    """
    forms = files.forms()
    has_openvino = importlib.util.find_spec("openvino") is not None
    if requested == "auto":
        prefers_openvino = "openvino" in forms and device == "cpu" and has_openvino
        requested = "openvino" if prefers_openvino or "torch" not in forms else "torch"
    if requested not in forms:
        raise MissingPart(
            f"models.backend={requested}: the {files.pack} {files.tier} comes as "
            f"{', '.join(forms)}; use one of those or models.backend=auto"
        )
    if requested == "torch" and importlib.util.find_spec("torch") is None:
        raise MissingPart(
            f"{files.pack} {files.tier}: expected torch, which runs {forms['torch']}, got none; run: "
            f"{pip_install('torch')}"
        )
    if requested == "openvino" and not has_openvino:
        raise MissingPart("models.backend=openvino: not installed; run: pip install openvino")
    if requested == "openvino" and device != "cpu":
        raise MissingPart(
            f"models.backend=openvino: runs on cpu, not {device}; use models.device=cpu"
        )
    return requested, forms[requested]


def check_packs(pack: str, backend: str = "auto", tiers: Iterable[str] = TIERS) -> None:
    """Raise MissingPart early for anything that the adapters would refuse later; loads no weights."""
    for tier in tiers:
        files = find_pack(tier, pack)
        choose_form(files, backend, "cpu")
        if damage := files.damage():
            raise MissingPart(
                f"{files.pack} {tier}: {files.root}: {damage}; to repair it: {files.remedy}"
            )


def write_manifest(root: Path, version: str, more: Mapping[str, Any] | None = None) -> None:
    """Write `root/manifest.json`, with the size and sha256 of all weights and settings,
    atomically."""
    files = {
        path.relative_to(root).as_posix(): {"sha256": sha256_of(path), "bytes": path.stat().st_size}
        for path in sorted(root.rglob("*"))
        if path.is_file()
        and path.suffix in WEIGHT_SUFFIXES
        and path != root / MANIFEST
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    }
    partial = root / f".{MANIFEST}"
    content = {"version": version, **(more or {}), "files": files}
    partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    partial.replace(root / MANIFEST)


def _tier_of(name: str) -> str:
    """The tier of a file in the pocket pack: `detector` for
    `detector_openvino_model/detector.xml`."""
    first = name.split("/")[0].split(".")[0]
    return first.removesuffix("_openvino_model")
