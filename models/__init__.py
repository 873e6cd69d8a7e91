"""Neural networks behind the engine's ports: packs of weights, and one adapter per library.

Importing this package imports no framework; an adapter does so in its constructor, after
`quiet_offline()`. Must not know what is done with detections, scenes or text.
"""

import os
import sys
import tempfile
from pathlib import Path


def cache_home() -> Path:
    """The folder of pulled weights: SCENE_ARIA_HOME, else the XDG cache. Creates nothing."""
    if home := os.environ.get("SCENE_ARIA_HOME"):
        return Path(home).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scene-aria"


def quiet_offline() -> None:
    """Turn off the libraries' downloads, run-time installs, telemetry and messages, through their
    environment variables.

    Call it before importing ultralytics, timm, transformers or huggingface_hub: each reads the
    variables once, at import.
    """
    quiet_openvino()
    os.environ.update(
        HF_HUB_OFFLINE="1",
        HF_HUB_DISABLE_TELEMETRY="1",
        HF_HUB_DISABLE_PROGRESS_BARS="1",
        TRANSFORMERS_OFFLINE="1",
        TRANSFORMERS_VERBOSITY="error",
        TOKENIZERS_PARALLELISM="false",
        YOLO_OFFLINE="true",
        YOLO_AUTOINSTALL="false",
        YOLO_VERBOSE="false",
    )
    if "YOLO_CONFIG_DIR" not in os.environ:
        os.environ["YOLO_CONFIG_DIR"] = str(_writable_folder(cache_home() / "ultralytics"))


def quiet_openvino() -> None:
    """Turn off OpenVINO's usage report, which it sends when it is imported and when it converts a
    network. Call it before importing openvino.

    Without the package `openvino_telemetry`, OpenVINO uses a stub of its own that sends nothing.
    The other way to turn it off is a file in the user's home folder.
    """
    if "openvino_telemetry" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]


def quiet_ultralytics() -> None:
    """Remove the id made of this machine's hardware address that Ultralytics writes when it is
    imported. It is never sent, because of `quiet_offline`. A folder of settings that the user has
    named is left as it is."""
    import ultralytics

    settings = ultralytics.settings
    ours = str(cache_home()) in str(settings.file)
    if ours and (settings["uuid"] or settings["sync"]):
        settings.update(uuid="", sync=False)


def _writable_folder(wanted: Path) -> Path:
    """`wanted`, or a new temporary folder if `wanted` cannot be written to."""
    try:
        wanted.mkdir(parents=True, exist_ok=True)
    except OSError:
        return Path(tempfile.mkdtemp(prefix="scene-aria-"))
    return wanted if os.access(wanted, os.W_OK) else Path(tempfile.mkdtemp(prefix="scene-aria-"))


quiet_openvino()  # here, since no module of this package can import openvino before this one
