"""The subsystems of a session, which the builders return and the loops use."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.alerts.policy import AlertPolicy
from engine.answering.answerer import Answerer
from engine.app.loading import Loading
from engine.app.notifier import Notifier
from engine.app.observers import Observers
from engine.app.wearer_memory import WearerMemory
from engine.audio.scheduler import Audio
from engine.core.answer import Wish
from engine.core.later import Later
from engine.core.ports import Clock, Sink, Source, Voice
from engine.core.triggers import Trigger
from engine.devices.input.media_keys import MediaKeys
from engine.language.commands import CommandGrammar
from engine.listening.ear import Ear
from engine.perception.perceive import Perception


@dataclass(frozen=True)
class Clocks:
    """`timeline` is the session's time, which is virtual in a batch; `wall` is the host's monotonic
    clock, which measures latencies."""

    timeline: Clock
    wall: Clock


@dataclass(frozen=True)
class FrameFeed:
    """The frames of a session, and the trigger that requests answers. `related` says whether each
    frame continues the previous one, as in a video; the trigger asks for `wish` and `target`, as in
    a `Request`. `reopen` opens a lost camera again; None if that cannot help.
    No obstacle in a `still` picture is announced."""

    source: Source
    trigger: Trigger
    max_frames: int | None = None
    related: bool = True
    wish: Wish = "describe"
    target: str | None = None
    reopen: Callable[[], Source] | None = None
    still: bool = False


@dataclass(frozen=True)
class Speech:
    """The queue of all sound, and the sink it goes to. `next_id` numbers utterances and requests;
    `fed_until_s` is the time up to which the sink was fed while the models loaded. `reopen_sink`
    and `reopen_voice` give others in the place of lost ones; None if there are none."""

    audio: Audio
    sink: Sink
    next_id: Callable[[], int]
    fed_until_s: float | None = None
    reopen_sink: Callable[[], Sink] | None = None
    reopen_voice: Callable[[], Voice] | None = None


@dataclass(frozen=True)
class KeyInputs:
    """The keys that the wearer can press: the terminal's keyboard if `keyboard` is set, and a
    headset's buttons. `grammar` holds the names that can be typed."""

    grammar: CommandGrammar
    keyboard: bool = False
    media_keys: MediaKeys | None = None


@dataclass(frozen=True)
class Session:
    """An open session. `alerts` is None if obstacles are not announced, `ear` if there is no wake
    word; both `ear` and what is in `loading` may come later. `reload_perception` loads a detector
    anew, `reopen_ear` opens the microphone again; None if that cannot help.
    `memory` keeps what the wearer has set for the next start; None if the source is not live.
    """

    clocks: Clocks
    feed: FrameFeed
    perception: Perception
    alerts: AlertPolicy | None
    answerer: Answerer
    speech: Speech
    keys: KeyInputs
    ear: Later[Ear] | None
    observers: Observers
    notifier: Notifier
    loading: Loading = field(default_factory=Loading)
    reload_perception: Callable[[], Perception] | None = None
    reopen_ear: Callable[[], Ear] | None = None
    memory: WearerMemory | None = None


@dataclass(frozen=True)
class Work:
    """A session ready to run. `run` raises RunError; `finish` returns the summary even then.
    `unwritten` names the files that a full disk did not take, once the session is closed."""

    run: Callable[[], None]
    finish: Callable[[], dict[str, Any]]
    unwritten: Sequence[str] = ()
