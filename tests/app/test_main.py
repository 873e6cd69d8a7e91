"""How `python -m engine` ends, without running a session."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from engine.__main__ import run
from engine.app import job
from engine.app.command_line import CONF
from engine.app.job import FolderGuard
from engine.core.output import to_the_end
from engine.evaluation import sweep


def ends(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """The exit status of the command in this process."""
    GlobalHydra.instance().clear()
    monkeypatch.setattr(sys, "argv", ["engine", *arguments])
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr(sweep, "failures", [])
    monkeypatch.setattr(job, "failures", sweep.failures)
    try:
        run()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_the_help_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ends(monkeypatch, "mode=quick", "--help") == 0
    assert capsys.readouterr().out.startswith("python -m engine KEY=VALUE")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_to_a_full_disk_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert ends(monkeypatch, "--help") == 1
    line = capsys.readouterr().err
    assert line.startswith("scene-aria: standard output: expected to write to it, got No space")
    assert line.count("\n") == 1


def test_a_closed_pipe_ends_the_output_in_silence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "w", encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert to_the_end(lambda: print("x" * 100_000) or 0) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("sweeps", [False, True])
@pytest.mark.parametrize("found", ["session.jsonl", "sweep.csv", None])
def test_a_session_is_never_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], sweeps: bool, found: str | None
) -> None:
    """Before Hydra writes anything; `found` None is a session that another engine is starting."""
    key = "hydra.sweep.dir" if sweeps else "hydra.run.dir"
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", overrides=[f"{key}={tmp_path}"], return_hydra_config=True)
    first, second = FolderGuard(), FolderGuard()
    if found is None:
        (first.on_multirun_start if sweeps else first.on_run_start)(config)
    else:
        (tmp_path / found).write_text("{}\n")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as ended:
        (second.on_multirun_start if sweeps else second.on_run_start)(config)
    assert ended.value.code == 2
    line = capsys.readouterr().err
    assert line.startswith(f"scene-aria: {key}: expected a folder")
    assert f"choose another with {key}=DIR" in line
    assert line.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before
    first.on_run_end(config)


def test_a_start_that_was_refused_leaves_its_folder_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        typed = ["source=image", "source.path=/none.jpg", f"hydra.run.dir={tmp_path}"]
        assert ends(monkeypatch, *typed) == 2
        assert "/none.jpg" in capsys.readouterr().err


@pytest.mark.command
def test_the_help_and_a_refusal_wait_for_no_library() -> None:
    """A wrong setting is read and refused by these modules; `--help` needs fewer."""
    code = (
        "import sys; import engine.app.command_line, engine.app.settings_help; "
        "light = set(sys.modules); import engine.app.job; late = {'numpy', 'jinja2', 'rich', 'cv2', "
        "'pydantic', 'openvino', 'torch'}; sys.exit(str(late & set(sys.modules) | {'hydra'} & light))"
        " if late & set(sys.modules) or 'hydra' in light else None"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
