"""A language is a folder: a copy of one under another code runs as it is."""

import json
import shutil
from pathlib import Path

import pytest

from engine.language.pack import languages
from tests.fakes.command import ROOT, engine, one, session
from tests.fakes.media import quadrants, save

pytestmark = pytest.mark.command


def test_adding_a_folder_adds_a_language(tmp_path: Path) -> None:
    root = tmp_path / "copy"
    for name in ("engine", "routers", "conf", "templates"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    (root / "models").symlink_to(ROOT / "models")
    new = root / "templates" / "xx"
    shutil.copytree(root / "templates" / "en", new)
    words = json.loads((new / "words.json").read_text(encoding="utf-8"))
    words["sides"]["ahead"] = "zzahead"
    (new / "words.json").write_text(json.dumps(words), encoding="utf-8")
    status = new / "quick.j2"
    text = status.read_text(encoding="utf-8")
    status.write_text(
        text.replace("Nothing in the way that I can see", "Zznothing"), encoding="utf-8"
    )
    picture = tmp_path / "grey.png"
    save(picture, quadrants())
    folder = tmp_path / "session"
    done = engine(
        "language=xx", "source=image", f"source.path={picture}", "trigger=once", "speech=silent",
        "source.realtime=false", "mode=quick", "answer.signs=false", f"hydra.run.dir={folder}", root=root,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    records = session(folder)
    assert one(records, "session")["language"] == "xx"
    answer = one(records, "description")["text"]
    assert "zzahead" in answer or "Zznothing" in answer
    refused = engine("language=yy", root=root)
    assert refused.returncode == 2
    codes = ", ".join(["en", *sorted({*languages(), "xx"} - {"en"})])
    assert f"expected one of {codes}, got 'yy'" in refused.stderr
