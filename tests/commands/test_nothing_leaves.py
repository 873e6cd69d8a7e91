"""No command but `pull` uses the network or leaves an id behind, in any of its processes.

The commands run in one process, one after another, to save the imports; `sitecustomize` of
`tests/fakes/no_network` refuses the network there and in every child, and keeps a list.
"""

import hashlib
import os
import shlex
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from engine.devices.video.sample import sample_photo
from tests.fakes.command import ROOT

pytestmark = [pytest.mark.command, pytest.mark.weights]

RUN_ALL = """
import runpy, shlex, sys
for line in sys.argv[1:]:
    module, *arguments = shlex.split(line)
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            sys.exit(f"{line}: {end.code}")
"""
REACH_OUT = """
import socket, subprocess, sys
for attempt in (
    lambda: socket.create_connection(("192.0.2.1", 80), 1),
    lambda: socket.getaddrinfo("example.invalid", 80),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", ("192.0.2.1", 80)),
    lambda: socket.socket().bind(("", 0)),
):
    try:
        attempt()
    except ConnectionRefusedError:
        continue
    sys.exit("not refused")
ours, theirs = socket.socketpair()
if sys.argv[1:]:
    sys.exit(subprocess.run([sys.executable, "-c", sys.argv[1]]).returncode)
"""


def guarded(home: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run Python without a network, in an empty home; return what it did and what was refused."""
    home.mkdir()
    log = home.with_suffix(".log")
    env = {key: value for key, value in os.environ.items() if not key.startswith(("XDG_", "CI"))}
    path = [str(ROOT / "tests/fakes/no_network"), str(ROOT)]
    env |= {"HOME": str(home), "NETWORK_LOG": str(log), "PYTHONPATH": os.pathsep.join(path)}
    done = subprocess.run(
        [sys.executable, "-c", *arguments],
        cwd=ROOT, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    return done, log.read_text().splitlines() if log.exists() else []


def test_the_guard_refuses_and_lists_every_way_out_also_in_children(tmp_path: Path) -> None:
    done, refused = guarded(tmp_path / "home", REACH_OUT, REACH_OUT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(refused) == 8


def test_no_command_uses_the_network_leaves_an_id_or_shows_a_session_to_others(
    tmp_path: Path,
) -> None:
    photo = shlex.quote(str(sample_photo()))
    once = f"source=image source.path={photo} source.realtime=false trigger=once speech=wav"
    done, refused = guarded(
        tmp_path / "home",
        RUN_ALL,
        "engine.doctor",
        f"engine mode=auto {once} hydra.run.dir={tmp_path}/session",
        f"engine -m mode=quick router.threshold=0.2,0.8 {once} hydra.sweep.dir={tmp_path}/sweep",
        "models list",
        "models export --pack pocket --part decoder",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert refused == []
    assert (tmp_path / "session/audio.wav").exists()
    assert (tmp_path / "sweep/sweep.csv").exists()
    for folder in (tmp_path / "session", tmp_path / "sweep"):  # for their owner alone
        for path in (folder, *folder.rglob("*")):
            assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path
    home = tmp_path / "home"
    left = [path.relative_to(home) for path in home.rglob("*") if path.is_file()]
    assert {path.parts[:2] for path in left} <= {(".cache", "scene-aria"), (".cache", "matplotlib")}
    machine = str(uuid.getnode())
    ids = (machine, hashlib.sha256(machine.encode()).hexdigest())
    for path in left:
        content = (home / path).read_bytes()
        assert not any(name.encode() in content for name in ids), path
