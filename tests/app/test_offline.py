"""Recording and replay in this process, with fakes for models and voice."""

from pathlib import Path

import pytest

from engine.answering.plan import LANGUAGE_NOT_SPOKEN
from engine.app import offline as module
from engine.app.builders.models import Models
from engine.app.console import Screen
from engine.app.settings_check import check
from engine.config import Config, RouterConfig, SourceConfig
from engine.core.answer import Decision
from engine.core.errors import ConfigError, InputError
from engine.core.glance import Glance
from engine.evaluation import stored_outputs
from routers import Count
from tests.fakes import media
from tests.fakes.answering import CARD, FakeDetector, FakeScenes, ScriptedDescriber, SilentVoice

PICTURES = 3
SPANISH = "Un hombre está esperando."


class CountingRouter(Count):
    """Keeps which images it was asked about."""

    def __init__(self, asked: list[int]) -> None:
        super().__init__(0.5)
        self._asked = asked

    def decide(self, glance: Glance) -> Decision:
        self._asked.append(glance.frame.seq)
        return super().decide(glance)


@pytest.mark.parametrize(
    ("speaks", "text", "error"),
    [(("en", "es"), SPANISH, ""), (("en",), "", LANGUAGE_NOT_SPOKEN)],
)
def test_a_describer_is_recorded_in_the_languages_that_it_speaks(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    speaks: tuple[str, ...],
    text: str,
    error: str,
) -> None:
    (tmp_path / "pictures").mkdir()
    for number in range(PICTURES):
        media.save(tmp_path / "pictures" / f"{number}.png", media.noise(64, 48))
    routers: list[list[int]] = []

    def build_router(config: Config) -> CountingRouter:
        routers.append([])
        return CountingRouter(routers[-1])

    describer = ScriptedDescriber(SPANISH) if "es" in speaks else None
    models = Models(FakeDetector(), FakeScenes(), describer, None, {"detector": CARD})
    monkeypatch.setattr(module, "check_models", lambda config: None)
    monkeypatch.setattr(module, "build_models", lambda config: models)
    monkeypatch.setattr(module, "build_voice", lambda config: SilentVoice())
    monkeypatch.setattr(module, "build_router", build_router)
    config = Config(
        language="es",
        record=str(tmp_path / "outputs.jsonl"),
        source=SourceConfig(name="folder", path=str(tmp_path / "pictures"), realtime=False),
    )
    with module.offline(config, tmp_path / "session", Screen(job="test")) as work:
        work.run()
        assert work.finish()["descriptions"] == PICTURES
    header, records = stored_outputs.read(tmp_path / "outputs.jsonl")
    assert header.language == "es"
    assert [(record.full.text, record.full.error) for record in records] == [
        (text, error)
    ] * PICTURES
    assert routers == [list(range(PICTURES))] * 2  # the session's, and the one that is timed


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            Config(record="o.jsonl", source=SourceConfig(name="sample")),
            "record: expected source.realtime=false, got true",
        ),
        (
            Config(record="o.jsonl", source=SourceConfig(name="recorded", path="o.jsonl")),
            "record: expected source=dataset, folder, image, video, vrs or sample",
        ),
        (
            Config(router=RouterConfig(name="budget", average_ms=9000)),
            "router.average_ms: expected null or router.quick_ms to router.full_ms",
        ),
        (Config(router=RouterConfig(risk=2)), "router.risk: expected 0.001 to 0.5, got 2"),
    ],
)
def test_settings_that_cannot_be_recorded_or_replayed_are_refused(
    config: Config, said: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        check(config)
    assert said in str(caught.value)


def test_a_recording_that_is_missing_is_refused(tmp_path: Path) -> None:
    source = SourceConfig(name="recorded", path=str(tmp_path / "nowhere.jsonl"), realtime=False)
    with (
        pytest.raises(InputError, match="expected a recording that can be read"),
        module.offline(Config(source=source), tmp_path / "session", Screen(job="test")),
    ):
        pass
