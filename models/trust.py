"""Decides which pickles may be opened: reading one runs whatever code it holds.

A manifest lies beside the files that it lists, so whoever replaces one replaces both. A pickle is
opened only if its digest is named here, with the code, or by the user. Other formats hold no code:
safetensors, OpenVINO's, ONNX.
"""

import os

from models.hub import HUB

PICKLES = {".pt", ".pth", ".ckpt", ".pkl", ".pickle"}
# sha256 of models/pocket/detector.pt; a new one is written here by hand, after training
POCKET_DETECTOR = "a596ed84320fd64073f99b046efa0e9ce4179bbdb635058695eee1ebf6d3c49d"
TRUST = "SCENE_ARIA_TRUST"  # digests of pickles that the user has made, separated by commas


def is_trusted(sha256: str) -> bool:
    """Whether a pickle with this digest may be opened."""
    published = {digest for model in HUB.values() for digest in model.sha256.values()}
    by_user = {digest.strip().lower() for digest in os.environ.get(TRUST, "").split(",")} - {""}
    return sha256.lower() in {POCKET_DETECTOR} | published | by_user
