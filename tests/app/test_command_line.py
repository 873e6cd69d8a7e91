"""What may be typed after `python -m engine`: it is accepted, or refused in one line."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from engine.app.command_line import CONF, error_line, read_arguments, read_config, to_hydra
from engine.config import Config
from engine.core.errors import ConfigError, EngineError
from engine.language.pack import languages

LANGUAGES = ", ".join(["en", *(code for code in languages() if code != "en")])
UMLAUT = "calle ñandú, 3 (1)=[a] 'b'.jpg"


@pytest.fixture(autouse=True)
def composer() -> Iterator[None]:
    GlobalHydra.instance().clear()
    ConfigStore.instance().store(name="schema", node=Config)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def read(*arguments: str) -> Config:
    return read_config(compose("config", overrides=to_hydra(arguments)))


@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("mode=fast", "mode: expected one of auto, quick, full, got 'fast'"),
        ("mode=", "mode: expected one of auto, quick, full, got ''"),
        ("mode==auto", "mode: expected one of auto, quick, full, got '=auto'"),
        ("mode=быстро", "mode: expected one of auto, quick, full, got 'быстро'"),
        ("language=xx", f"language: expected one of {LANGUAGES}, got 'xx'"),
        ("language=", f"language: expected one of {LANGUAGES}, got ''"),
        ("step_m=0.1", "step_m: expected 0.3 to 1.5, got 0.1"),
        ("answer.detail=2", "answer.detail: expected one of normal, brief, full, got '2'"),
        ("answer.unsupported=x", "answer.unsupported: expected one of hedge, drop, say, got 'x'"),
        ("answer.prompts.default=x", "answer.prompts.default: expected one of caption,"),
        ("mode=null", "mode: expected a value, got null"),
        ("mode=[auto]", "mode: Cannot convert 'list' to string"),
        ("mode", "mode: expected KEY=VALUE"),
        ("=", "=: expected KEY=VALUE"),
        ("~mode", "~mode: expected KEY=VALUE"),
        ("--mode=quick", "--mode=quick: expected KEY=VALUE without dashes"),
        ("мода=auto", "мода: expected a configuration key"),
        ("foo=1", "foo: expected a configuration key"),
        ("+foo=1", "foo: expected a configuration key"),
        ("+foo={}", "foo: expected a configuration key"),
        ("speech.rate_wmp=200", "speech.rate_wmp: expected a configuration key"),
        ("+speech.rate_wmp=200", "speech.rate_wmp: expected a configuration key"),
        ("++models.describer.tokens={a:1}", "models.describer.tokens.a: expected a configuration"),
        ("speech.rate_wpm=451", "speech.rate_wpm: expected 120 to 450, got 451"),
        ("speech.rate_wpm=190.5", "speech.rate_wpm: expected Integer, got '190.5'"),
        ("speech.rate_wpm=true", "speech.rate_wpm: expected Integer, got 'True'"),
        ("router.threshold=nan", "router.threshold: expected 0.0 to 1.0, got nan"),
        ("router.threshold=inf", "router.threshold: expected 0.0 to 1.0, got inf"),
        ("router.threshold=high", "router.threshold: expected Float, got 'high'"),
        ("roter.threshold=0.5", "roter.threshold: expected a configuration key"),
        ("source=nowhere", "source: expected one of"),
        ("source=recorded", "source.path: source=recorded needs one"),
        ("router.threshold=0,5", "router.threshold: expected Float, got '0,5'"),
        ("source.fps=nan", "source.fps: expected 0.1 to 240.0, got nan"),
        ("source.max_frames=0", "source.max_frames: expected null or at least 1, got 0"),
        ("source.realtime=maybe", "source.realtime: expected true or false, got 'maybe'"),
        ("source.path=${oc.env:NO_SUCH_VARIABLE}", "source.path: "),
        ("models.describer.max_new_tokens=0", "expected 1 to 256, got 0"),
        ("models.describer=null", "models.describer: expected a value, got null"),
        ("models=null", "models: expected one of auto, hub, pocket, got 'null'"),
        ("models=", "models: expected one of auto, hub, pocket, got ''"),
        ("models=auto,pocket", "models: expected one of auto, hub, pocket, got 'auto,pocket'"),
        ("source=image", "source.path: source=image needs one"),
        ("trigger=clap", "trigger: expected one of auto, every"),
        ("hydra.run.dir=", "hydra.run.dir: expected a folder, got ''"),
        ("source.path=", "source.path: expected PATH, got ''; is a variable of the shell empty?"),
        ("models.describer.path= ", "models.describer.path: expected DIR, got"),
        ("source.path=https://a.example/b.jpg", "source.path: expected a file or folder here, got"),
        ("https://a.example/b.jpg", "b.jpg: expected a file or folder here, got a URL; download"),
        ("", "expected a photo, video or folder, got ''; is a variable of the shell empty?"),
        ("no-such-photo.jpg", "no-such-photo.jpg: expected KEY=VALUE, or a photo, video or folder"),
    ],
)
def test_a_wrong_setting_is_refused_in_one_line(argument: str, says: str) -> None:
    with pytest.raises((EngineError, HydraException, OmegaConfBaseException)) as caught:
        read(argument)
    line = error_line(caught.value)
    assert says in line
    assert "\n" not in line


def test_a_file_whose_name_begins_with_a_dash_is_told_how_to_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-a.jpg").touch()
    with pytest.raises(ConfigError, match=r"-a\.jpg: expected a file as \./-a\.jpg"):
        to_hydra(["-a.jpg"])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--cfg", "jobs"], "--cfg/-c: invalid choice: 'jobs'"),
        (["-c"], "--cfg/-c: expected one argument"),
        (["--info=x"], "--info/-i: invalid choice: 'x'"),
        (["mode=quick", "-m", "units=feet"], "units=feet: expected all KEY=VALUE together"),
        (["-x", "mode=quick"], "-x: expected KEY=VALUE without dashes"),
    ],
)
def test_a_wrong_option_is_refused_in_one_line(arguments: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        to_hydra(arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--cfg", "job", "mode=quick"], ["-cjob", "--resolve"], ["--multi", "mode=auto,quick"],
        ["-cd", "folder", "-cn", "name"], ["--info"], ["-i", "plugins"], ["--hydra-help"],
    ],
)  # fmt: skip
def test_hydras_options_are_unchanged(arguments: list[str]) -> None:
    assert to_hydra(arguments) == arguments


@pytest.mark.parametrize(
    "path", [UMLAUT, 'a "quote".jpg', "~no-such-user/x.jpg", "#1.jpg", "{x}.jpg"]
)
def test_a_path_is_taken_as_typed(path: str) -> None:
    assert read("source=image", f"source.path={path}").source.path == path


NAMES = [
    "a.jpg", "a,b.jpg", "a${b}.jpg", "${now:%Y}.jpg", " a.jpg", "null", "2024", "[a].jpg", "a=b.jpg",
    "back\\slash.jpg", 'a"b.jpg', "~a.jpg", "mode.jpg",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("typed", ["{}", "source.path={}", "-m source.path={}", "-m {}"])
def test_a_file_that_exists_is_found_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, typed: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(b"")
    arguments = [part.format(name) for part in typed.split(" ")]
    hydra = [argument for argument in to_hydra(arguments) if argument != "-m"]
    config = read_config(compose("config", overrides=hydra))
    assert (config.source.name, config.source.path) == ("auto", name)


def test_a_folder_is_short_for_its_source_and_the_line_says_so(tmp_path: Path) -> None:
    spelled = read_arguments(["mode=quick", str(tmp_path), "ask=read"])
    assert spelled.arguments == [
        "mode=quick", "source=auto", f"source.path={tmp_path}", "trigger.ask=read"
    ]  # fmt: skip
    assert spelled.line == f"{tmp_path} stands for source=auto source.path={tmp_path}"
    assert to_hydra(["source=folder", str(tmp_path)]) == [
        "source=folder",
        f"source.path={tmp_path}",
    ]


def test_only_one_source_may_be_named(tmp_path: Path) -> None:
    for second in (str(tmp_path / "b"), f"source.path={tmp_path}"):
        (tmp_path / "b").touch()
        with pytest.raises(ConfigError, match="expected one"):
            to_hydra([str(tmp_path), second])


def test_home_is_expanded_in_every_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = read(
        "source=image",
        "source.path=~/a, b.jpg",
        "source.realtime=false",
        "record=~/r.jsonl",
        "models.describer.path=~",
    )
    assert config.source.path == f"{tmp_path}/a, b.jpg"
    assert config.models.describer.path == str(tmp_path)
    assert config.record == f"{tmp_path}/r.jsonl"
    assert to_hydra(["hydra.run.dir=~/run"]) == [f"hydra.run.dir={tmp_path}/run"]
    assert to_hydra(["-m", "hydra.sweep.dir=~/a,b"]) == ["-m", f'hydra.sweep.dir="{tmp_path}/a,b"']


def test_paths_can_be_swept_and_hold_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ["-m", "source.path=a.jpg,b.jpg", "hydra.sweep.dir=out/${now:%Y}"]
    assert to_hydra(typed) == typed


def test_arguments_in_hydras_grammar_are_unchanged() -> None:
    typed = ["mode=auto", "source.path=/a b.jpg", "source.path='a, b.jpg'", "+x=[1,2]", "--help"]
    assert to_hydra(typed) == typed
    sweep = ["-m", "router.threshold=0.2,0.4", "hydra.sweep.dir=/a"]
    assert to_hydra(sweep) == sweep


def test_null_and_booleans_keep_their_meaning() -> None:
    config = read("source.max_frames=null", "obstacles.enabled=false", "record=null")
    assert config.source.max_frames is None
    assert config.obstacles.enabled is False
    assert config.record is None


def test_the_error_line_names_the_key_under_a_debugger(monkeypatch: pytest.MonkeyPatch) -> None:
    """OmegaConf then chains its errors, which coverage's tracer triggers as well."""
    monkeypatch.setenv("OC_CAUSE", "1")
    with pytest.raises(OmegaConfBaseException) as caught:
        read("source.path=${oc.env:NO_SUCH_VARIABLE}")
    assert error_line(caught.value).startswith("source.path: ")
