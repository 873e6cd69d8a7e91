"""OpenCV without the warnings that it prints, for a camera that is missing or a file that is broken."""

from typing import Any

from engine.core.errors import MissingPart


def quiet_cv2(what: str) -> Any:
    """The module, with its log off. Raises MissingPart; `what` is the setting that needs it."""
    try:
        import cv2
    except ImportError as error:
        raise MissingPart(
            f"{what}: expected OpenCV, found none; run: pip install 'opencv-python-headless>=4.11,<6'"
        ) from error
    module: Any = cv2  # OpenCV 5 has moved the setting; the stubs know only one of the two places
    set_log_level = getattr(module, "setLogLevel", None) or module.utils.logging.setLogLevel
    set_log_level(0)
    return module
