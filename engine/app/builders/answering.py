"""Builds the parts that answer requests: router, describer and text workers, grounding, prompts."""

import math
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, cast

from engine.answering.answerer import Answerer
from engine.answering.describer_worker import DescriberWorker
from engine.answering.grounding import Grounder
from engine.answering.ocr_worker import OcrWorker
from engine.answering.plan import AnswerPlan, AnswerSettings
from engine.answering.scene_worker import SceneWorker
from engine.answering.speaker import Speaker
from engine.app.builders.models import Models, describer_settings, loads_in_background
from engine.app.loading import Loading
from engine.config import Config
from engine.core.glance import Glance
from engine.core.ports import ClassifiesScenes, Clock, Reader, Router
from engine.core.preferences import Detail, Directions, Units, Unsupported
from engine.core.report import Health
from engine.language.template_check import CheckedWords, check_templates
from engine.language.wording import MAX_GROUPS, Words
from engine.perception.scene_cache import SceneCache

if TYPE_CHECKING:
    from engine.evaluation.scoring import Scorer


# After the models have been loaded: the first alerts, and often the first answer, have been given.
READER_LOADS_AFTER_S = 3.0


def build_router(config: Config) -> Router:
    """With `quick` and `full`, one tier gives every answer; with `auto`, the configured router
    decides. Raises MissingPart for a router that has not been trained."""
    from routers import Always

    if config.mode == "quick":
        return Always("quick", config.router.threshold)
    if config.mode == "full":
        return Always("full", config.router.threshold)
    return _build_router(config, config.router.name)


def _build_router(config: Config, name: str) -> Router:
    from routers import Budget, Conformal, Count, Learned, Random, Rules
    from routers.budget import share_of
    from routers.model import read_model

    settings = config.router
    if name == "budget":
        share = settings.share
        if settings.average_ms is not None:
            share = share_of(settings.average_ms, settings.quick_ms, settings.full_ms)
        scorer = _build_router(config, settings.scorer)
        return Budget(scorer, share, settings.threshold, settings.step)
    if name == "learned":
        return Learned(settings.threshold, read_model())
    if name == "conformal":
        return Conformal(
            read_model(),
            settings.risk,
            settings.confidence,
            MAX_GROUPS[cast(Detail, config.answer.detail)],
        )
    if name == "random":
        return Random(settings.threshold, settings.seed)
    # `check` has refused unknown names; a new router needs a branch above, or it runs as `rules`.
    return (Count if name == "count" else Rules)(settings.threshold)


def build_ocr_worker(config: Config, loading: Loading, wall: Clock) -> OcrWorker:
    """The text reader's thread, which also loads the reader: a while after the models, where these
    load in the background, else when it is needed."""

    def load_reader() -> Reader:
        from models.reader import open_reader

        return open_reader(threads=1)

    due_s = math.inf

    def may_load() -> bool:
        nonlocal due_s
        if due_s == math.inf and loading.ready:
            due_s = wall.now() + READER_LOADS_AFTER_S
        return wall.now() >= due_s

    return OcrWorker(load_reader, wall, may_load if loads_in_background(config) else None)


def build_plan(
    config: Config,
    router: Router,
    words: Words,
    labels: Sequence[str],
    prompt: Callable[[Glance], str] | None = None,
) -> AnswerPlan:
    """The answer plan, for a detector that knows `labels`."""
    answer = config.answer
    settings = AnswerSettings(
        mode=config.mode,
        beats=answer.beats,
        detail=cast(Detail, answer.detail),
        deadline_s=answer.deadline_s if config.source.realtime else None,
        signs=answer.signs,
    )
    grounder = Grounder(labels, config.language, cast(Unsupported, answer.unsupported))
    return AnswerPlan(settings, router, words, grounder, prompt)


def build_prompt(config: Config, words: Words) -> Callable[[Glance], str] | None:
    """The describer's prompt for a glance, chosen by its scene; None for a describer that was
    trained for one prompt. Raises MissingPart for a prompt without a file."""
    settings = describer_settings(config)
    if settings is None or not settings.get("takes_prompts"):
        return None
    names = config.answer.prompts

    def prompt(glance: Glance) -> str:
        scene = "" if glance.scene is None else glance.scene.label
        return words.prompt(names.get(scene, names.get("default", "hazards")), glance)

    return prompt


def build_answerer(
    models: Models,
    plan: AnswerPlan,
    speaker: Speaker,
    reader: OcrWorker,
    report: Callable[[Health], None],
    wall: Clock,
    resources: ExitStack,
) -> Answerer:
    """The answerer, with threads for the describer and, in real time, for the scene classifier."""
    describer = None
    scenes: ClassifiesScenes = models.scenes
    if plan.settings.deadline_s is not None:
        worker = SceneWorker(scenes, wall, plan.settings.deadline_s)
        resources.callback(worker.close)
        scenes = worker
    if models.describer is not None:
        describer = DescriberWorker(models.describer, wall)
        resources.callback(describer.close)
    return Answerer(plan, SceneCache(scenes), speaker, report, wall, describer, reader)


def build_words(config: Config) -> Words:
    """Puts answers, alerts and statuses into words, by the settings of language and units. Raises
    MissingPart, with the file and the line, if a template cannot be used."""
    units, directions = cast(Units, config.units), cast(Directions, config.directions)
    check_templates(CheckedWords(config.language, units, directions, config.step_m))
    return Words(config.language, units, directions, config.step_m)


def build_scorer(config: Config, labels: tuple[str, ...]) -> "Scorer | None":
    """Scores a dataset; None for any other source. `labels` are the detector's."""
    if config.source.name != "dataset":
        return None
    from engine.evaluation.scoring import Scorer

    return Scorer(labels, config.language, config.source.hfov_deg, config.quality)
