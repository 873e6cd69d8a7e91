"""Settings are declared once; the checks, the help and conf/README.md agree with the declarations."""

from dataclasses import replace

import pytest
from omegaconf import OmegaConf

from engine.app.command_line import CONF
from engine.app.settings_check import check, deprecations
from engine.app.settings_help import WIDTH, group_choices, help_text, readme
from engine.config import Config, DescriberConfig, ModelsConfig
from engine.core.errors import ConfigError
from engine.core.settings import Setting, settings, typed_key
from tests.fakes.command import engine

DECLARED = [(typed_key(key, setting), setting) for key, _, setting in settings(Config())]
NAMES = [key for key, _ in DECLARED]


def describer(**values: str) -> Config:
    return replace(Config(), models=ModelsConfig(describer=DescriberConfig(**values)))  # type: ignore[arg-type]


def test_defaults_are_allowed() -> None:
    assert check(Config()) == Config()


@pytest.mark.parametrize(("key", "setting"), DECLARED, ids=NAMES)
def test_every_setting_says_what_it_means(key: str, setting: Setting) -> None:
    assert setting.help
    assert setting.choices or setting.placeholder or isinstance(setting.default, bool) or (
        setting.low is not None or setting.unit
    )  # fmt: skip


@pytest.mark.parametrize(("key", "setting"), DECLARED, ids=NAMES)
def test_the_help_and_the_readme_list_every_setting(key: str, setting: Setting) -> None:
    assert f"`{key}`" in readme()
    if not setting.replaced_by:
        assert f"  {key}=" in help_text()
        assert "|".join(setting.choices) in help_text()


def test_the_help_fits_its_width() -> None:
    assert max(len(line) for line in help_text().splitlines()) <= WIDTH


def test_the_readme_is_up_to_date() -> None:
    stale = "conf/README.md is stale; run: python -m engine.app.settings_help > conf/README.md"
    assert (CONF / "README.md").read_text(encoding="utf-8") == readme(), stale


@pytest.mark.parametrize("group", sorted(p.name for p in CONF.iterdir() if p.is_dir()))
def test_every_choice_of_a_group_is_explained(group: str) -> None:
    assert all(group_choices(group).values())


@pytest.mark.parametrize(("key", "setting"), DECLARED, ids=NAMES)
def test_a_value_outside_the_declaration_is_refused(key: str, setting: Setting) -> None:
    if setting.choices:
        assert "expected one of" in (setting.refusal("no such value") or "")
    elif setting.low is not None:
        assert setting.refusal(setting.low) is None
        assert "expected" in (setting.refusal(setting.low - 1) or "")
        assert "got nan" in (setting.refusal(float("nan")) or "")
        if setting.high is not None:
            assert setting.refusal(setting.high) is None
            assert "expected" in (setting.refusal(setting.high + 1) or "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"encoder": "onnx"}, "models.describer.runtime=onnx"),
        ({"decoder": "openvino"}, "models.describer.runtime=openvino"),
        ({"provider": "tensorrt"}, "models.describer.runtime=tensorrt"),
        ({"provider": "cuda"}, "models.device=cuda"),
        ({"provider": "cpu"}, "models.device=cpu"),
    ],
)
def test_an_old_key_is_accepted_with_a_line_that_names_the_new_one(
    old: dict[str, str], new: str
) -> None:
    (line,) = deprecations(check(describer(**old)))
    assert line.endswith(f"use {new}")


@pytest.mark.command
def test_an_old_key_costs_one_line_on_stderr() -> None:
    done = engine("models.describer.encoder=torch", "source=image", "source.path=/nowhere.jpg")
    assert done.returncode == 2
    deprecated, error = done.stderr.splitlines()
    assert deprecated.startswith("scene-aria: models.describer.encoder=torch is deprecated")
    assert "/nowhere.jpg" in error


def test_no_new_key_is_deprecated() -> None:
    assert deprecations(describer(runtime="openvino", precision="int8")) == []


@pytest.mark.parametrize("old", ["encoder", "decoder"])
def test_an_old_key_that_contradicts_the_new_one_is_refused(old: str) -> None:
    with pytest.raises(ConfigError, match=f"models.describer.{old}: expected no value beside"):
        check(describer(runtime="openvino", **{old: "onnx"}))


def test_a_default_is_stated_only_in_its_declaration() -> None:
    """A second copy in conf/ would go stale: its files choose names and hold no numbers."""
    for path in CONF.rglob("*.yaml"):
        if path.parent.name != "experiment":
            values = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
            assert isinstance(values, dict)
            assert not [
                value
                for value in values.values()
                if isinstance(value, int | float | None) and not isinstance(value, bool)
            ]
