"""Builds the observers of a session: the log, and the view for a sighted helper."""

from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from engine.app.console import Screen
from engine.app.observers import Observers
from engine.app.subsystems import Clocks
from engine.config import Config
from engine.core.ports import View
from engine.core.report import Health
from engine.recording.session_log import PATIENCE_S, SessionLog
from engine.recording.view_queue import NoView, ViewQueue


def build_observers(
    config: Config, folder: Path, screen: Screen, clocks: Clocks, resources: ExitStack
) -> tuple[Observers, str]:
    """The log in `folder`, `screen` and the view, and the view's name on the first screen. Raises
    InputError and MissingPart."""
    patience_s = 0.0 if config.source.realtime else PATIENCE_S
    log = SessionLog(folder, clocks.timeline, clocks.wall, patience_s)
    log.on_full = screen.warning
    resources.enter_context(closing(log))

    def report(health: Health) -> None:  # the view does not show its own failure
        log.health(health)
        screen.health(health)

    view, name = build_view(config, log, report)
    resources.callback(view.close)
    log.on_answered = lambda answered: view.show(answered, clocks.timeline.now())
    return Observers(log, screen, view, clocks.timeline), name


def build_view(
    config: Config, log: SessionLog, report: Callable[[Health], None]
) -> tuple[View, str]:
    """The view, and its name on the first screen. Raises MissingPart."""
    if config.view == "none":
        return NoView(), ""
    from engine.devices.view.rerun_view import FILE, RerunView, require_rerun

    require_rerun()
    # A batch drops no frame and waits for the viewer; a live session never waits.
    patience_s = 0.0 if config.source.realtime else PATIENCE_S
    path = log.folder / FILE
    view = ViewQueue(lambda: RerunView(path, log.since), report, patience_s)
    return view, f"{FILE}; it stores the camera's pictures, because view=rerun asks for them"
