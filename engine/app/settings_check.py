"""Checks the settings: each value against its declaration, then the rules between settings.

Must not know how a setting was given. Loads no model and opens no file.
"""

import re
from collections.abc import Iterator

from engine.config import RUNTIME, Config
from engine.core.errors import ConfigError
from engine.core.settings import settings, typed_key
from engine.language.pack import prompts

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
NO_URL = "expected a file or folder here, got a URL; download it first, and give the file"


def check(config: Config) -> Config:
    """Return `config` if every value is allowed. Raises ConfigError naming the first bad one."""
    for key, value, setting in settings(config):
        if refusal := setting.refusal(value):
            raise ConfigError(f"{typed_key(key, setting)}: {refusal}")
    for rule in RULES:
        for line in rule(config):
            raise ConfigError(line)
    return config


def deprecations(config: Config) -> list[str]:
    """One line for each deprecated key that is set, naming its replacement."""
    return [
        f"{key}={value} is deprecated and ends with the next version; "
        f"use {setting.replaced_by[value]}"
        for key, value, setting in settings(config)
        if isinstance(value, str) and value in setting.replaced_by
    ]


# The rules between settings. Each yields error lines.


def _prompts_exist(config: Config) -> Iterator[str]:
    names = prompts(config.language)
    for scene, name in config.answer.prompts.items():
        if name not in names:
            have = ", ".join(names) or "none"
            yield f"answer.prompts.{scene}: expected one of {have}, got {name!r}"


def _old_and_new_keys_agree(config: Config) -> Iterator[str]:
    describer = config.models.describer
    if describer.runtime == "auto":
        return
    old = {"encoder": describer.encoder, "decoder": describer.decoder}
    if "tensorrt" in (describer.runtime, describer.provider):
        old["provider"] = describer.provider
    for name, value in old.items():
        if value not in ("auto", describer.runtime):
            yield (
                f"models.describer.{name}: expected no value beside {RUNTIME}={describer.runtime}, "
                f"got {value}; leave it out"
            )


def _record_has_a_batch_source(config: Config) -> Iterator[str]:
    if config.record is None:
        return
    source = config.source
    unnamed = source.name == "auto" and source.path is None
    if unnamed or source.name in ("recorded", "webcam", "aria"):
        yield (
            "record: expected source=dataset, folder, image, video, vrs or sample, "
            f"got source={source.name}"
        )
    if source.realtime and source.name != "auto":
        yield "record: expected source.realtime=false, got true; add it"


def _view_needs_a_session(config: Config) -> Iterator[str]:
    if config.view != "none" and (config.record is not None or config.source.name == "recorded"):
        yield f"view: expected none in a recording or a replay, got {config.view}"


def _average_is_reachable(config: Config) -> Iterator[str]:
    router = config.router
    average_ms = router.average_ms
    if average_ms is not None and not router.quick_ms <= average_ms <= router.full_ms:
        yield (
            f"router.average_ms: expected null or router.quick_ms to router.full_ms "
            f"({router.quick_ms:g} to {router.full_ms:g}), got {average_ms:g}"
        )


def _wake_needs_real_time(config: Config) -> Iterator[str]:
    if config.trigger.name == "wake" and not config.source.realtime:
        yield (
            "trigger: wake needs source.realtime=true, got false; "
            "use trigger=every or trigger=interval"
        )


def _source_has_its_path(config: Config) -> Iterator[str]:
    name = config.source.name
    needs_path = name in ("image", "folder", "video", "vrs", "dataset", "recorded")
    if needs_path and not config.source.path:
        yield f"source.path: source={name} needs one; add source.path=FILE_OR_FOLDER"


def _path_is_no_url(config: Config) -> Iterator[str]:
    if URL.match(config.source.path or ""):
        yield f"source.path: {NO_URL}"


RULES = (
    _prompts_exist,
    _old_and_new_keys_agree,
    _record_has_a_batch_source,
    _view_needs_a_session,
    _average_is_reachable,
    _wake_needs_real_time,
    _source_has_its_path,
    _path_is_no_url,
)
