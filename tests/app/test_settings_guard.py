"""Settings cannot run code, wherever they come from: refused in one line, before anything runs."""

from pathlib import Path

import pytest

from engine.app.command_line import CONF, to_hydra
from engine.core.errors import ConfigError

CALLBACK = "hydra: {callbacks: {bad: {_target_: os.system, command: touch x}}}"
LOGGING = "hydra: {job_logging: {formatters: {f: {'()': os.system, command: ls}}}}"
FILES = {
    "a callback in an experiment": ("experiment/x.yaml", f"# @package _global_\n{CALLBACK}"),
    "a callback by Hydra's group": ("hydra/callbacks/x.yaml", "bad: {_target_: os.system}"),
    "a callback by its package": ("x.yaml", "# @package hydra.callbacks\nbad: {_target_: a.b}"),
    "a class in a list": ("x.yaml", "a: [{b: {_target_: os.system}}]"),
    "a class behind an escape": ("x.yaml", '"\\x5ftarget_": os.system'),
    "a class behind an anchor": ("x.yaml", "a: &a {_target_: os.system}\nhydra: {launcher: *a}"),
    "a launcher of another package": ("x.yaml", "hydra: {launcher: {_target_: evil.Launcher}}"),
    "one of our callbacks as a launcher": (
        "x.yaml", "hydra: {launcher: {_target_: engine.app.job.FolderGuard}}"
    ),
    "a search space of a function": ("x.yaml", "hydra: {sweeper: {custom_search_space: a.b}}"),
    "a hook of Ray's workers": ("x.yaml", "hydra: {launcher: {ray: {init: {runtime_env: {}}}}}"),
    "a cluster elsewhere": ("x.yaml", "hydra: {launcher: {ray: {init: {address: 192.0.2.1}}}}"),
    "a store of pickles": ("x.yaml", "hydra: {sweeper: {storage: 'redis://192.0.2.1'}}"),
    "a factory of the logging tree": ("x.yaml", LOGGING),
    "the environment": ("x.yaml", "hydra: {job: {env_set: {LD_PRELOAD: x.so}}}"),
    "a search path in a package": ("x.yaml", "hydra: {searchpath: ['pkg://evil']}"),
    "another file by a path": ("x.yaml", "defaults: [{experiment: ../../evil}]"),
    "another file of Hydra's": ("x.yaml", "defaults: [{override hydra/launcher: submitit}]"),
    "a file into Hydra's tree": ("x.yaml", "defaults: ['x@hydra.callbacks.y: z']"),
    "a tag of Python's": ("x.yaml", "a: !!python/object/apply:os.system [ls]"),
    "no YAML": ("x.yaml", "a: [1\nb: }"),
    "the other suffix": ("x.yml", CALLBACK),
}  # fmt: skip
ARGUMENTS = [
    "hydra.callbacks.bad._target_=os.system",
    "+hydra.callbacks.bad._target_=os.system",
    "++hydra.callbacks.folder_guard._target_=os.system",
    "~hydra.callbacks.folder_guard",
    "hydra.callbacks={bad: {_target_: os.system}}",
    "hydra.launcher._target_=os.system",
    "hydra.launcher={_target_: os.system}",
    "hydra.launcher.ray.init.runtime_env.working_dir=x",
    "hydra.launcher.ray.init={address: x}",
    "hydra.job.env_set.LD_PRELOAD=x.so",
    "hydra.job_logging.handlers.x.class=os.system",
    "hydra.searchpath=[pkg://evil]",
    "hydra.sweeper.custom_search_space=os.system",
    "hydra/launcher=submitit_local",
    "hydra/job_logging=mine",
    "+experiment@hydra.callbacks=x",
    "+a._target_=os.system",
    "+a={_target_: os.system}",
    "experiment=../../../tmp/x",
    "source=../x",
]
FINE = [
    "hydra.run.dir=../out",
    "hydra.sweep.dir=${oc.env:HOME}/sweeps",
    "hydra/launcher=joblib",
    "hydra.launcher.n_jobs=2",
    "hydra/sweeper=optuna",
    "hydra/sweeper/sampler=random",
    "hydra.sweeper.n_trials=20",
    "hydra.sweeper.direction=[maximize,minimize]",
    "hydra.sweeper.storage=sqlite:///study.db",
    "hydra.launcher.ray.init.address=auto",
    "experiment=threshold_sweep",
    "source.path=../my_target_{1}.jpg",
    "record=../out.jsonl",
    "hydra.verbose=true",
]


@pytest.mark.parametrize(("name", "text"), FILES.values(), ids=FILES.keys())
@pytest.mark.parametrize("option", ["--config-dir", "--config-path"])
def test_a_file_that_could_run_code_is_refused(
    name: str, text: str, option: str, tmp_path: Path
) -> None:
    file = tmp_path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        to_hydra([option, str(tmp_path), "mode=quick"])
    line = str(refused.value)
    assert line.startswith(str(file))
    assert "expected" in line
    assert "\n" not in line


def test_files_behind_links_are_checked_as_hydra_reads_them(tmp_path: Path) -> None:
    elsewhere, folder = tmp_path / "elsewhere", tmp_path / "settings"
    elsewhere.mkdir()
    folder.mkdir()
    (elsewhere / "x.yaml").write_text(f"# @package _global_\n{CALLBACK}")
    (elsewhere / "again").symlink_to(elsewhere)  # a circle
    (folder / "linked").symlink_to(elsewhere)
    with pytest.raises(ConfigError, match=r"linked/x\.yaml: expected no callback"):
        to_hydra(["--config-dir", str(folder), "+linked=x"])


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").symlink_to(tmp_path / "none")
    with pytest.raises(ConfigError, match=r"x\.yaml: expected settings in YAML"):
        to_hydra(["--config-dir", str(tmp_path), "mode=quick"])


def test_harmless_files_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    mine = (CONF / "experiment/threshold_sweep.yaml").read_text()
    (tmp_path / "experiment/mine.yaml").write_text(mine)
    (tmp_path / "plain.yaml").write_text("defaults: [config, _self_]\nmode: quick\n")
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "empty.yaml").write_text("")
    to_hydra(["--config-dir", str(tmp_path), "experiment=mine"])


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_an_argument_that_could_run_code_is_refused(argument: str) -> None:
    with pytest.raises(ConfigError, match="could run code; remove it"):
        to_hydra([argument])


@pytest.mark.parametrize("argument", FINE)
def test_what_users_need_is_accepted(argument: str) -> None:
    to_hydra(["-m", argument])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--experimental-rerun", "config.pickle"],
        ["--config-name", "../../evil"],
        ["-cn", "/evil"],
        ["--config-dir", "pkg://evil"],
    ],
)
def test_options_that_lead_out_of_the_folder_are_refused(arguments: list[str]) -> None:
    with pytest.raises(ConfigError):
        to_hydra(arguments)


def test_a_file_beside_ours_is_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/evil.yaml").write_text(f"# @package _global_\n{CALLBACK}")
    monkeypatch.setattr("engine.app.command_line.CONF", tmp_path)
    with pytest.raises(ConfigError, match=r"evil\.yaml"):
        to_hydra(["experiment=evil"])
