"""The hub pack: published models that `python -m models pull` downloads, and where they are stored.

A table only: loads no model and never uses the network.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models import cache_home

TIERS = ("detector", "scenes", "describer")
OPTIONAL = ("depth-indoor", "depth-outdoor")  # in the hub pack only; pulled only if named


@dataclass(frozen=True)
class HubModel:
    """A published model. `revision` is the commit that is pulled; empty if no public source states
    one. `sha256` holds the checksums that a public source states; all others are recorded at the
    first pull."""

    name: str
    source: str  # a Hugging Face repository, or the URL of one file
    licence: str
    megabytes: int  # approximate size of the download
    patterns: tuple[str, ...]
    sha256: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    revision: str = ""


HUB: dict[str, HubModel] = {
    "detector": HubModel(
        name="yolo11n",
        source="https://github.com/ultralytics/assets/releases/download/v8.3.0/yolo11n.pt",
        licence="AGPL-3.0",
        megabytes=6,
        patterns=("yolo11n.pt",),
        # from several public projects that pin this release asset of 5,613,764 bytes
        sha256={"yolo11n.pt": "0ebbc80d4a7680d14987a577cd21342b65ecfd94632bd9a8da63ae6417644ee1"},
        settings={"image_size": 640, "confidence": {}},
    ),
    "scenes": HubModel(
        name="fastvit_t8.apple_dist_in1k",
        source="timm/fastvit_t8.apple_dist_in1k",
        licence="Apple FastViT licence",
        megabytes=17,
        patterns=("config.json", "model.safetensors"),
        # from the hub's "Git LFS details" page of that file
        sha256={
            "model.safetensors": "9e31da81a225d20bc9e326baf1cc88ccc0e68fe2c43ea0154a870c409747f6aa"
        },
    ),
    "describer": HubModel(
        name="FastVLM-0.5B",
        # in Apple's layout, which models/fastvlm/checkpoint.py maps without remote code
        source="apple/FastVLM-0.5B",
        licence="Apple Machine Learning Research Model licence (research only)",
        megabytes=1520,  # in bf16
        patterns=("*.json", "*.safetensors", "*.jinja", "*.txt"),
        # from five public projects that pin this commit
        revision="16375720c2d673fa583e57e9876afde27549c7d0",
        settings={
            "prompt": "In one sentence, what is directly ahead, left and right? Hazards first.",
            "takes_prompts": True,
            "languages": ["en", "es"],  # Qwen2's; its Spanish has not been tested here
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
            revision=revision,
        )
        # commits that several public projects pin
        for kind, revision in (
            ("Indoor", "8078d68a9c75a972131914f6afd0c1723be0da7f"),
            ("Outdoor", "fd2c22027eaf20374204f14099b8341e1925ad39"),
        )
    },
}


def hub_home() -> Path:
    """The folder of the pulled models, with one folder for each tier."""
    return cache_home() / "hub"


def pull_command(tier: str) -> str:
    """The command that downloads or repairs the hub's model for `tier`."""
    return f"python -m models pull{f' {tier}' if tier in OPTIONAL else ''}"
