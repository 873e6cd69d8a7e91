"""What the builders choose from a configuration, without loading a model."""

import sys
from contextlib import ExitStack, nullcontext
from pathlib import Path

import numpy as np
import pytest

from engine.app.builders.answering import build_router
from engine.app.builders.audio import LOUDSPEAKER, build_reopen_sink
from engine.app.builders.inputs import (
    build_asking,
    build_listening,
    build_trigger,
    build_wish,
    describe_asking,
    label_names,
)
from engine.app.builders.sources import build_reopen_source, build_source, source_kind, still
from engine.app.command_line import CONF
from engine.app.settings_check import check
from engine.config import Config, RouterConfig
from engine.core.clock import VirtualClock
from engine.core.errors import ConfigError, InputError, MissingPart
from engine.devices.sound import porcupine
from engine.devices.video.sample import SampleSource
from engine.language.commands import command_grammar
from engine.language.wording import Words
from engine.listening.echo_guard import EchoGuard, GuardedSink
from experiments.quality.synthetic_speech import write_wav
from models.describer import check_image_size
from models.packs import find_pack, write_manifest
from tests.fakes import media


class LiveSource(SampleSource):
    live = True


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)


@pytest.mark.parametrize(
    ("source", "live", "asks"),
    [
        ("sample", False, "once"),
        ("image", False, "once"),
        ("folder", False, "every"),
        ("dataset", False, "every"),
        ("video", False, "interval"),
        ("webcam", True, "interval"),
    ],
)
def test_the_trigger_depends_on_the_kind_of_source(source: str, live: bool, asks: str) -> None:
    trigger, keys = build_trigger(Config(), source, live)
    assert (trigger.name, keys) == (asks, False)


def test_the_sample_is_described_after_its_obstacles_have_been_announced() -> None:
    trigger, _ = build_trigger(Config(), "sample", live=False)
    assert [trigger.due(time_s) for time_s in (0.0, 1.9, 2.0)] == [False, False, True]


GRAMMARS = {code: command_grammar(code, {"door": "door"}) for code in ("en", "es")}


@pytest.mark.parametrize(
    ("language", "ask", "wish"),
    [
        ("en", "describe", ("describe", None)),
        ("en", "What is here?", ("describe", None)),
        ("en", "where is the door", ("where", "door")),
        ("en", "where is the spaceship", ("where", "spaceship")),
        ("es", "why", ("why", None)),
        ("es", "lee el texto", ("read", None)),
        ("es", "¿Qué ves?", ("describe", None)),
    ],
)
def test_what_the_trigger_asks_for(language: str, ask: str, wish: tuple[str, str | None]) -> None:
    config = Config(language=language)
    config.trigger.ask = ask
    assert build_wish(config, GRAMMARS[language]) == wish


@pytest.mark.parametrize("ask", ["quit", "louder", "stop", "what color is the car", "x"])
def test_the_trigger_asks_for_nothing_else(ask: str) -> None:
    config = Config()
    config.trigger.ask = ask
    with pytest.raises(ConfigError, match=r"trigger\.ask: expected describe, more, read, why or"):
        build_wish(config, GRAMMARS["en"])


def test_keys_need_a_standard_input_before_any_model_loads() -> None:
    config = Config()
    config.trigger.name = "keyboard"
    with ExitStack() as stack, pytest.raises(MissingPart, match="trigger=keyboard: expected a ter"):
        build_asking(config, "webcam", LiveSource(), VirtualClock(), lambda health: None, stack)


def test_which_sources_are_still_pictures() -> None:
    config = Config()
    for name, is_still in (("image", True), ("folder", True), ("video", False), ("webcam", False)):
        config.source.name = name
        assert still(config) == is_still


@pytest.mark.parametrize("name", ["photo", "folder", "sample"])
def test_the_name_of_a_file_does_not_change_the_kind_of_source(tmp_path: Path, name: str) -> None:
    config = Config()
    config.source.name, config.source.path = "image", str(tmp_path / f"{name}.png")
    media.save(tmp_path / f"{name}.png", media.quadrants())
    assert source_kind(config) == "image"
    assert build_source(config, "image").read() is not None


def test_an_unknown_home_folder_is_a_path_like_any_other(tmp_path: Path) -> None:
    config = Config()
    config.source.path = "~nobody-of-that-name/photo.jpg"
    with pytest.raises(InputError, match="~nobody-of-that-name"):
        build_source(config, "image")


@pytest.mark.parametrize("side", [64, 100])
def test_the_image_size_is_checked_before_any_model_loads(tmp_path: Path, side: int) -> None:
    folder = tmp_path / "describer"
    folder.mkdir()
    (folder / "processor_config.json").write_text('{"patch_size": 32}', encoding="utf-8")
    write_manifest(tmp_path, "0")
    files = find_pack("describer", "pocket", pocket=tmp_path)
    with nullcontext() if side == 64 else pytest.raises(ConfigError, match="multiple of 32, got"):
        check_image_size(files, side)


def wake_config(tmp_path: Path, **settings: object) -> Config:
    """trigger=wake on a silent recording."""
    config = Config()
    config.trigger.name = "wake"
    config.trigger.wake.path = str(write_wav(tmp_path / "quiet.wav", np.zeros(1600, np.int16)))
    for name, value in settings.items():
        setattr(config.trigger.wake, name, value)
    return config


def test_the_default_wake_engine_is_microwakeword(tmp_path: Path) -> None:
    config = wake_config(tmp_path)
    listening = build_listening(config, SampleSource(), VirtualClock())
    assert listening is not None
    assert (listening.wake.name, listening.wake.phrase) == ("microwakeword", "okay nabu")
    assert "spoken commands" in describe_asking(config, listening, "wake")
    config.language = "es"
    assert "commands by key only" in describe_asking(config, listening, "wake")
    assert describe_asking(config, None, "interval") == "interval"
    listening.close()


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"phrase": "hello"}, ConfigError, "without a key, expected one of okay nabu, alexa"),
        ({"keyword_path": "a.ppn"}, ConfigError, "keyword_path: without a key"),
        (
            {"engine": "porcupine"},
            MissingPart,
            "PICOVOICE_ACCESS_KEY, got none; make one at console.picovoice.ai",
        ),
        ({"engine": "microwakeword", "phrase": "computer"}, ConfigError, "got 'computer'"),
        ({"path": "nowhere.wav"}, InputError, "got nowhere.wav"),
    ],
)
def test_a_wake_word_that_cannot_be_heard_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, object],
    error: type[Exception],
    said: str,
) -> None:
    monkeypatch.delenv(porcupine.KEY, raising=False)
    with pytest.raises(error, match=said):
        build_listening(wake_config(tmp_path, **settings), SampleSource(), VirtualClock())


def test_with_a_key_phrases_that_only_porcupine_knows_go_to_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(porcupine.KEY, "not-a-key")
    with pytest.raises(MissingPart, match="expected Porcupine to start"):
        build_listening(wake_config(tmp_path, phrase="computer"), SampleSource(), VirtualClock())
    listening = build_listening(
        wake_config(tmp_path, phrase="alexa"), SampleSource(), VirtualClock()
    )
    assert listening is not None
    assert listening.wake.name == "microwakeword"


def test_auto_listens_with_a_live_camera_if_there_is_a_microphone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)  # no microphone library
    assert build_listening(Config(), LiveSource(), VirtualClock()) is None
    trigger, _ = build_trigger(Config(), "webcam", live=True, hears=True)
    assert trigger.name == "wake"


def test_a_wake_word_requires_real_time() -> None:
    config = Config()
    config.trigger.name, config.source.realtime = "wake", False
    with pytest.raises(ConfigError, match=r"wake needs source\.realtime=true"):
        check(config)


@pytest.mark.parametrize(
    ("language", "name", "label"),
    [
        ("en", "traffic light", "traffic_light"),
        ("en", "people", "person"),
        ("es", "puerta", "door"),
        ("es", "personas", "person"),
    ],
)
def test_labels_are_found_by_their_spoken_names(language: str, name: str, label: str) -> None:
    words = Words("en") if language == "en" else Words("es")
    assert label_names(words, ("person", "door", "traffic_light"))[name] == label


@pytest.mark.parametrize("name", sorted(file.stem for file in (CONF / "router").glob("*.yaml")))
def test_each_router_is_built_under_its_name(name: str) -> None:
    """A router that is registered but not built would run as `rules`."""
    assert build_router(Config(router=RouterConfig(name=name))).name == name


def test_a_loudspeaker_is_opened_again_and_a_lost_file_is_done_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_library(*_: object) -> None:
        raise MissingPart("speech=device: no output")

    monkeypatch.setattr("engine.devices.sound.loudspeaker.refresh_devices", lambda: None)
    monkeypatch.setattr("engine.devices.sound.loudspeaker.DeviceSink", no_library)
    clock = VirtualClock()
    with pytest.raises(MissingPart):
        build_reopen_sink(LOUDSPEAKER, 22050, None, clock)()
    assert build_reopen_sink("audio.wav", 22050, None, clock)().name == "silent"
    guarded = build_reopen_sink("audio.wav", 22050, EchoGuard(22050), clock)()
    assert isinstance(guarded, GuardedSink)


def test_only_a_camera_that_can_return_is_opened_again() -> None:
    assert build_reopen_source(Config(), "sample", SampleSource()) is None
    reopen = build_reopen_source(Config(), "sample", LiveSource())
    assert reopen is not None
    assert reopen().name == "sample"
