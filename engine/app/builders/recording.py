"""Builds the view for a sighted helper."""

from collections.abc import Callable

from engine.config import Config
from engine.core.ports import View
from engine.core.report import Health
from engine.recording.session_log import SessionLog
from engine.recording.view_queue import NoView, ViewQueue

# A viewer that accepts nothing for this long does not recover.
VIEW_PATIENCE_S = 30.0


def build_view(
    config: Config, log: SessionLog, report: Callable[[Health], None]
) -> tuple[View, str]:
    """The view, and its name on the first screen. Raises MissingPart."""
    if config.view == "none":
        return NoView(), ""
    from engine.devices.view.rerun_view import FILE, RerunView, require_rerun

    require_rerun()
    # A batch drops no frame and waits for the viewer; live, nothing waits.
    patience_s = 0.0 if config.source.realtime else VIEW_PATIENCE_S
    path = log.folder / FILE
    view = ViewQueue(lambda: RerunView(path, log.since), report, patience_s)
    return view, f"{FILE}; it stores the camera's pictures, because view=rerun asks for them"
