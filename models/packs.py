"""Packs of weights: which files serve which tier, and whether they are the files they should be.

A pack's `manifest.json` lists every file with its sha256; each is checked before it is opened.
Knows no library that could open one, and never touches the network.
"""

import hashlib
import importlib.util
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.core.errors import MissingPart
from models import cache_home

TIERS = ("detector", "scenes", "describer")
OPTIONAL = ("depth-indoor", "depth-outdoor")  # of the hub pack alone, and pulled only when named
# a pocket pack of one's own, freshly trained say, can stand in for the shipped one
POCKET = Path(os.environ.get("SCENE_ARIA_POCKET", Path(__file__).parent / "pocket"))
MANIFEST = "manifest.json"
WEIGHT_SUFFIXES = {
    ".pt", ".safetensors", ".onnx", ".xml", ".bin", ".yaml", ".json", ".txt", ".jinja"
}  # fmt: skip


@dataclass(frozen=True)
class HubModel:
    """A published model. `sha256` holds what a public source states; the rest is recorded at the
    first pull."""

    name: str
    source: str  # a Hugging Face repository, or the address of one file
    licence: str
    megabytes: int  # what a pull fetches, about
    patterns: tuple[str, ...]
    sha256: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)


HUB: dict[str, HubModel] = {
    "detector": HubModel(
        name="yolo11n",
        source="https://github.com/ultralytics/assets/releases/download/v8.3.0/yolo11n.pt",
        licence="AGPL-3.0",
        megabytes=6,
        patterns=("yolo11n.pt",),
        # stated by several public projects that pin this release asset of 5,613,764 bytes
        sha256={"yolo11n.pt": "0ebbc80d4a7680d14987a577cd21342b65ecfd94632bd9a8da63ae6417644ee1"},
        settings={"image_size": 640, "confidence": {}},
    ),
    "scenes": HubModel(
        name="fastvit_t8.apple_dist_in1k",
        source="timm/fastvit_t8.apple_dist_in1k",
        licence="Apple FastViT licence",
        megabytes=17,
        patterns=("config.json", "model.safetensors"),
        # the hub's own "Git LFS details" page of that file
        sha256={
            "model.safetensors": "9e31da81a225d20bc9e326baf1cc88ccc0e68fe2c43ea0154a870c409747f6aa"
        },
    ),
    "describer": HubModel(
        name="FastVLM-0.5B",
        # in Apple's own layout, which models/fastvlm/checkpoint.py maps: no remote code
        source="apple/FastVLM-0.5B",
        licence="Apple Machine Learning Research Model licence (research only)",
        megabytes=1520,  # of its tensors in bf16
        patterns=("*.json", "*.safetensors", "*.jinja", "*.txt"),
        settings={
            "prompt": "In one sentence, what is directly ahead, left and right? Hazards first.",
            "takes_prompts": True,
            "languages": ["en", "es"],  # Qwen2's; its Spanish has not been tried here
            "large": True,
        },
    ),
    **{
        f"depth-{kind.lower()}": HubModel(
            name=f"Depth-Anything-V2-Metric-{kind}-Small-hf",
            source=f"depth-anything/Depth-Anything-V2-Metric-{kind}-Small-hf",
            licence="Apache-2.0, as its publisher says of the Small models",
            megabytes=99,
            patterns=("config.json", "preprocessor_config.json", "model.safetensors"),
        )
        for kind in ("Indoor", "Outdoor")
    },
}

# backend -> the file or folder that it reads, tier by tier; a pack may ship fewer. The scenes' OpenVINO
# form is made of torch's weights as they are loaded.
FORMS: dict[str, dict[str, dict[str, str]]] = {
    "pocket": {
        "detector": {"torch": "detector.pt", "openvino": "detector_openvino_model"},
        "scenes": dict.fromkeys(("torch", "openvino"), "scenes.safetensors"),
        "describer": {"torch": "describer"},
    },
    "hub": {
        "detector": {"torch": "yolo11n.pt"},
        "scenes": dict.fromkeys(("torch", "openvino"), "model.safetensors"),
        "describer": {"torch": "."},
        **{tier: {"torch": "."} for tier in OPTIONAL},
    },
}


@dataclass(frozen=True)
class PackFiles:
    """One tier's files of one pack. `files`: relative path -> (sha256, bytes), by the manifest."""

    tier: str
    pack: str
    root: Path
    files: Mapping[str, tuple[str, int]]
    remedy: str

    def forms(self) -> dict[str, str]:
        """Backend -> relative path, of the forms that this pack ships for this tier."""
        known = FORMS[self.pack][self.tier]
        return {backend: path for backend, path in known.items() if self._within(path)}

    def open(self, path: str) -> Path:
        """The whole path of one file or folder, every byte of it checked against the manifest.

        Raises MissingPart naming the file, what was expected and what came.
        """
        listed = self._within(path)
        if not listed:
            raise self._refuse(path, "a file listed in its manifest", "none")
        for name in listed:
            self._check(name)
        whole = self.root / path
        if whole.is_dir():
            self._refuse_strangers(whole)
        return whole

    def settings(self) -> dict[str, Any]:
        """What the adapter must know beside the weights. Raises MissingPart if unreadable."""
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
        """Size of all files of this tier, by the manifest."""
        return sum(size for _, size in self.files.values())

    def damage(self) -> str:
        """What is wrong with the files at a glance (presence and sizes), or an empty string."""
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

    def _refuse_strangers(self, folder: Path) -> None:
        # a loader picks by name within a folder: an added file could take a listed one's place
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(self.root).as_posix()
            hidden = any(part.startswith(".") for part in path.relative_to(self.root).parts)
            if path.is_file() and not hidden and name not in self.files and name != MANIFEST:
                raise self._refuse(name, "only files listed in the manifest", "one more")

    def _refuse(self, name: str, expected: str, got: str) -> MissingPart:
        return MissingPart(
            f"{self.pack} {self.tier}: {self.root / name}: expected {expected}, got {got}; "
            f"to mend it: {self.remedy}"
        )


def hub_home() -> Path:
    """The folder of the pulled models, one folder a tier."""
    return cache_home() / "hub"


def pull_command(tier: str) -> str:
    """What fetches or mends the hub's model for `tier`."""
    return f"python -m models pull{f' {tier}' if tier in OPTIONAL else ''}"


def find_pack(tier: str, pack: str, *, pocket: Path = POCKET, hub: Path | None = None) -> PackFiles:
    """The files that serve `tier`. `auto` prefers the hub's model where it has been pulled whole.

    Raises MissingPart when the pack does not have that tier.
    """
    if pack in ("auto", "hub"):
        root = (hub_home() if hub is None else hub) / tier
        if (root / MANIFEST).is_file():
            return read_pack(tier, "hub", root)
        if pack == "hub":
            asked, instead = "models=hub", "models=pocket"
            if tier in OPTIONAL:
                asked, instead = f"obstacles.{tier.replace('-', '=')}", "obstacles.depth=off"
            raise MissingPart(
                f"{asked}: {HUB[tier].name} has not been pulled; run: {pull_command(tier)}, "
                f"or use {instead}"
            )
    if pack not in ("auto", "pocket"):
        raise MissingPart(f"models={pack}: expected auto, pocket or hub")
    return read_pack(tier, "pocket", pocket)


def read_pack(tier: str, pack: str, root: Path) -> PackFiles:
    """Read `root/manifest.json`. Raises MissingPart when it is absent, broken or lacks the tier."""
    remedy = "git checkout models/pocket" if pack == "pocket" else pull_command(tier)
    try:
        listed = read_manifest(root)["files"]
        files = {name: (str(row["sha256"]), int(row["bytes"])) for name, row in listed.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise MissingPart(
            f"{pack} pack: {root / MANIFEST}: expected a manifest of files, got "
            f"{type(error).__name__}; to mend it: {remedy}"
        ) from None
    if pack == "pocket":  # one folder holds all its tiers, told apart by name
        files = {name: row for name, row in files.items() if _tier_of(name) == tier}
    found = PackFiles(tier, pack, root, files, remedy)
    if not found.forms():
        raise MissingPart(
            f"{pack} pack: {root / MANIFEST}: lists no weights of the {tier}; to mend it: {remedy}"
        )
    return found


def read_manifest(root: Path) -> dict[str, Any]:
    """The manifest as it stands. Raises OSError or ValueError."""
    content: dict[str, Any] = json.loads((root / MANIFEST).read_text(encoding="utf-8"))
    return content


def choose_form(files: PackFiles, asked: str, device: str) -> tuple[str, str]:
    """(backend, relative path): what is asked for, or for `auto` OpenVINO on a CPU, else torch.

    Raises MissingPart when the pack has no such form, or the backend cannot serve the device.
    """
    forms = files.forms()
    has_openvino = importlib.util.find_spec("openvino") is not None
    if asked == "auto":
        quick = "openvino" in forms and device == "cpu" and has_openvino
        asked = "openvino" if quick or "torch" not in forms else "torch"
    if asked not in forms:
        raise MissingPart(
            f"models.backend={asked}: the {files.pack} {files.tier} comes as "
            f"{', '.join(forms)}; use one of those or models.backend=auto"
        )
    if asked == "openvino" and not has_openvino:
        raise MissingPart("models.backend=openvino: not installed; run: pip install openvino")
    if asked == "openvino" and device != "cpu":
        raise MissingPart(
            f"models.backend=openvino: runs on cpu, not {device}; use models.device=cpu"
        )
    return asked, forms[asked]


def check_packs(pack: str, backend: str = "auto", tiers: Iterable[str] = TIERS) -> None:
    """Raise MissingPart now for what the adapters would refuse later; opens no weights."""
    for tier in tiers:
        files = find_pack(tier, pack)
        choose_form(files, backend, "cpu")
        if damage := files.damage():
            raise MissingPart(
                f"{files.pack} {tier}: {files.root}: {damage}; to mend it: {files.remedy}"
            )


def write_manifest(root: Path, version: str, more: Mapping[str, Any] | None = None) -> None:
    """List every weight and settings file under `root` with size and sha256, in one write."""
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


def sha256_of(path: Path) -> str:
    """Hexadecimal sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _tier_of(name: str) -> str:
    """`detector_openvino_model/detector.xml` belongs to the detector."""
    first = name.split("/")[0].split(".")[0]
    return first.removesuffix("_openvino_model")
