"""What the wearer has set survives a restart; what is typed now counts more."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from engine.app.builders.loops import build_answer_step
from engine.app.console import Screen
from engine.app.session import work
from engine.app.subsystems import Session
from engine.app.user_input import UserInput
from engine.app.wearer_memory import Kept, WearerMemory, read_kept, state_file, typed_keys
from engine.config import Config, SpeechConfig
from engine.core.answer import Command
from tests.fakes.live import LiveBench


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state/scene-aria/wearer.json"


def kept(file: Path, **content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"volume_db": 0.0, "settings": {}, "answer": []} | content))


def restart(file: Path, config: Config, *typed: str) -> tuple[Config, list[str]]:
    memory = WearerMemory(file)
    try:
        return memory.applied(config, typed_keys(typed))
    finally:
        memory.close()


def test_the_settings_of_one_session_are_those_of_the_next(file: Path) -> None:
    spanish = replace(Config(), language="es", speech=SpeechConfig(rate_wpm=260))
    restart(file, spanish, "language=es", "speech.rate_wpm=260")
    config, applied = restart(file, Config())
    assert (config.language, config.speech.rate_wpm) == ("es", 260)
    assert applied == ["language=es", "speech.rate_wpm=260"]


def test_what_is_typed_or_set_by_a_file_counts_more(file: Path) -> None:
    kept(file, settings={"language": "es", "speech.rate_wpm": 260, "answer.detail": "full"})
    by_file = replace(Config(), speech=SpeechConfig(rate_wpm=300))
    config, applied = restart(file, by_file, "++language=en")
    assert (config.language, config.speech.rate_wpm) == ("en", 300)
    assert applied == ["answer.detail=full"]
    config, _ = restart(file, Config())  # which is now what was kept
    assert (config.language, config.speech.rate_wpm, config.answer.detail) == ("en", 300, "full")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        '{"volume_db": "loud"}',
        "\x00\xff",
        '{"volume_db": 0, "settings": 3}',
        "null",
        '{"volume_db": NaN}',
        '{"volume_db": 1e999}',
        "[" * 60_000,
    ],
)
def test_a_damaged_file_counts_as_none(file: Path, content: str) -> None:
    file.parent.mkdir(parents=True)
    file.write_bytes(content.encode("latin-1"))
    assert read_kept(file) == Kept()
    assert restart(file, Config())[0] == Config()


@pytest.mark.parametrize(
    "settings",
    [
        {"language": "xx"},
        {"speech.rate_wpm": 9000},
        {"speech.rate_wpm": "fast"},
        {"answer.detail": None},
        {"hydra.run.dir": "/x"},
    ],
)
def test_a_kept_value_that_is_not_allowed_is_left_out(
    file: Path, settings: dict[str, object]
) -> None:
    kept(file, settings=settings)
    assert restart(file, Config()) == (Config(), [])


def test_volume_and_last_answer_come_back(file: Path, tmp_path: Path) -> None:
    memory = WearerMemory(file)
    bench = LiveBench(tmp_path / "first", batch=True)
    running = replace(bench.session, memory=memory)
    audio = running.speech.audio
    build_answer_step(running, None, shows=False)
    user = UserInput(running.keys, _NoAnswers(), audio, running.notifier, memory.keep_volume)
    for _ in range(2):
        user.obey("keyboard", Command("quieter"))
    memory.keep_answer(["Person ahead.", "He carries a bag."])
    memory.close()
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700

    again = WearerMemory(file)
    assert again.kept.volume_db == audio.volume_db == -6.0
    second = LiveBench(tmp_path / "second", batch=True)
    step = build_answer_step(replace(second.session, memory=again), None, shows=False)
    assert step.repeat(iter(range(7, 9)).__next__)
    second.session.speech.audio.stop()
    second.session.speech.audio.render(0.0)
    second.session.speech.audio.handed(0.0)
    assert [heard.utterance.text for heard in second.heard] == [
        "Person ahead.",
        "He carries a bag.",
    ]
    again.close()


@pytest.mark.parametrize("kind", ["webcam", "image"])
def test_a_live_session_starts_as_it_was_left_and_a_file_does_not(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    kept(state_file(), volume_db=-9.0, settings={"speech.rate_wpm": 260})
    bench = LiveBench(tmp_path / "log", batch=True)
    rates = []

    @contextmanager
    def opened(config: Config, *_: object) -> Iterator[Session]:
        rates.append(config.speech.rate_wpm)
        yield bench.session

    monkeypatch.setattr("engine.app.session.session", opened)
    monkeypatch.setattr("engine.app.session.source_kind", lambda config: kind)
    config = replace(Config(), source=replace(Config().source, name=kind, path="a.jpg"))
    with work(config, tmp_path / "log", Screen(job="test"), ()) as ready:
        ready.finish()
    live = kind == "webcam"
    assert rates == [260 if live else 190]
    assert bench.session.speech.audio.volume_db == (-9.0 if live else 0.0)


def test_without_an_earlier_answer_there_is_nothing_to_repeat(file: Path, tmp_path: Path) -> None:
    bench = LiveBench(tmp_path / "log", batch=True)
    memory = WearerMemory(file)
    step = build_answer_step(replace(bench.session, memory=memory), None, shows=False)
    assert not step.repeat(lambda: 1)
    memory.close()


def test_the_file_is_in_the_users_state_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/x")
    assert state_file() == Path("/x/scene-aria/wearer.json")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/me")
    assert state_file() == Path("/home/me/.local/state/scene-aria/wearer.json")


class _NoAnswers:
    """The answer loop of a session in which nothing is asked."""

    def ask(self, *_: object, **__: object) -> None: ...

    def repeat(self) -> None: ...

    def stop_answer(self) -> None: ...

    def hint(self) -> None: ...
