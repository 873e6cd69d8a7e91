"""The real command, without a network and over a pack of tiny random networks, so that no result
depends on what the shipped weights know."""

import itertools
import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.core.errors import SetupError
from engine.devices.video.sample import sample_photo
from engine.devices.view.rerun_view import images_at
from tests.fakes import media
from tests.fakes.command import describe_here, engine, one, run_here, session

pytestmark = [pytest.mark.command, pytest.mark.weights]

FIELDS = {
    "session": {"version", "mode", "language", "source", "models"},
    "obstacle": {
        "frame", "track", "label", "score", "box", "distance_m", "distance_sigma_m",
        "bearing_deg", "side", "ttc_s", "priority",
    },
    "description": {
        "id", "frame", "trigger", "mode", "tier", "route", "scene", "text", "beats", "unsupported",
        "latency_ms",
    },
    "utterance": {
        "id", "kind", "text", "priority", "azimuth_deg", "queued_t", "started_t", "ended_t",
        "dropped", "cut", "resumes",
    },
    "health": {"what", "detail", "action"},
    "summary": {
        "frames", "obstacle_fps", "latency_ms", "escalation_rate", "utterances", "peak_memory_mb",
        "peak_gpu_memory_mb", "errors",
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The everyday session in real time: its folder, and what the terminal showed."""
    folder = tmp_path_factory.mktemp("sample")
    done = engine("mode=auto", "source=sample", "speech=wav", f"hydra.run.dir={folder}")
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_sample_writes_what_the_contract_says(sample: tuple[Path, str]) -> None:
    folder, _ = sample
    records = session(folder)
    for record in records:
        assert FIELDS[record["type"]] | {"type", "t"} <= set(record)
    assert records[0]["type"] == "session"
    assert records[-1]["type"] == "summary"
    times = [record["t"] for record in records]
    assert times == sorted(times)
    assert {"detector", "scenes", "describer"} == set(records[0]["models"])
    summary = json.loads((folder / "summary.json").read_text())
    assert summary.items() <= records[-1].items()
    assert summary["errors"] == 0
    assert summary["peak_memory_mb"] < 1536


def test_the_sample_is_heard(sample: tuple[Path, str]) -> None:
    folder, _ = sample
    with wave.open(str(folder / "audio.wav")) as file:
        assert file.getnchannels() == 2
        rate = file.getframerate()
        raw = file.readframes(file.getnframes())
    samples = np.frombuffer(raw, np.int16).reshape(-1, 2) / 32768
    assert len(samples) / rate > 5
    assert 0.02 < np.abs(samples).max() < 0.99
    heard = [r for r in session(folder) if r["type"] == "utterance" and r["started_t"] is not None]
    assert "answer" in {r["kind"] for r in heard}
    for first, second in itertools.pairwise(heard):
        assert second["started_t"] >= first["ended_t"] - 0.05  # never two voices at once


def test_the_wearer_hears_that_the_engine_starts_and_is_ready(sample: tuple[Path, str]) -> None:
    folder, _ = sample
    records = session(folder)
    starting, ready = [r for r in records if r["type"] == "utterance" and r["kind"] == "status"][:2]
    assert (starting["text"], ready["text"]) == ("Starting.", "Ready.")
    assert 0 <= starting["started_t"] < starting["ended_t"] <= ready["started_t"]
    with wave.open(str(folder / "audio.wav")) as file:  # on the timeline of the records
        rate = file.getframerate()
        samples = np.abs(np.frombuffer(file.readframes(file.getnframes()), np.int16)[::2])
    for said in (starting, ready):  # a busy machine may feed the sink a little late
        begin = round(said["started_t"] * rate)
        assert samples[begin : begin + rate].max() > 300


def test_the_terminal_shows_models_answer_and_budgets(sample: tuple[Path, str]) -> None:
    _, shown = sample
    for words in ("Scene Aria", "detector", "describer", "route", "budget", "session.jsonl"):
        assert words in shown
    assert "420" in shown or "752" in shown  # of the tier that answered


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A multirun over the street photo, once for each route of `auto`."""
    folder = tmp_path_factory.mktemp("sweep")
    done = engine(
        "-m", "mode=auto", "router.threshold=0.0,1.0", "source=image",
        f"source.path={sample_photo()}", "source.realtime=false", "trigger=once", "speech=silent",
        "answer.signs=false", f"hydra.sweep.dir={folder}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return folder


def test_a_multirun_leaves_a_sweep(sweep: Path) -> None:
    tiers = [one(session(sweep / job), "description")["tier"] for job in ("0", "1")]
    assert tiers == ["full", "quick"]
    rows = (sweep / "sweep.csv").read_text().splitlines()
    assert len(rows) == 3
    assert "router.threshold" in rows[0]
    assert list(sweep.glob("*.png"))


@pytest.mark.parametrize(("mode", "tier"), [("quick", "quick"), ("full", "full")])
def test_each_mode_answers_from_its_tier(tmp_path: Path, mode: str, tier: str) -> None:
    description = one(describe_here(tmp_path, f"mode={mode}"), "description")
    assert description["tier"] == tier
    assert [beat["tier"] for beat in description["beats"]] == [tier]
    assert description["text"].endswith((".", "!", "?"))


def test_spanish_is_spanish(tmp_path: Path) -> None:
    records = describe_here(tmp_path, "language=es", "mode=full")
    text = one(records, "description")["text"]
    assert any(word in text.lower() for word in (" una ", " un ", "metros", "delante"))
    assert "person " not in text.lower()


def test_the_same_input_gives_the_same_words(sweep: Path, tmp_path: Path) -> None:
    """Also in another process."""

    def words(records: list[dict[str, Any]]) -> list[tuple[str, str]]:
        return [(r["type"], r["text"]) for r in records if "text" in r]

    here = describe_here(tmp_path, "mode=auto", "router.threshold=0.0")
    assert words(here) == words(session(sweep / "0"))


def test_a_large_sign_is_read_and_the_view_is_recorded(tmp_path: Path) -> None:
    photo = media.save(tmp_path / "sign.png", media.street(("EXIT 12", 300, 300, 70)).image)
    folder = tmp_path / "run"
    shown = run_here(
        folder, "source=image", f"source.path={photo}", "source.realtime=false", "trigger=once",
        "mode=quick", "speech=silent", "view=rerun",
    )  # fmt: skip
    records = session(folder)
    assert "EXIT 12" in one(records, "description")["text"]
    said = [r for r in records if r["type"] == "utterance" and "EXIT 12" in r["text"]]
    assert [r["dropped"] for r in said] == [None]
    assert "session.rrd; it stores the camera's pictures" in shown
    picture, early = images_at(folder / "session.rrd", [0.0, -1.0])
    assert picture is not None
    assert early is None
    assert records[-1]["errors"] == 0


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("router.threshold=2", "router.threshold: expected 0.0 to 1.0, got 2.0"),
        ("models=hub", "models pull"),
    ],
)
def test_bad_settings_end_in_one_line(tmp_path: Path, override: str, said: str) -> None:
    done = engine(override, f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_output_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = engine(f"hydra.run.dir={tmp_path / 'file' / 'run'}")
    assert done.returncode == 2
    assert "hydra.run.dir: expected a folder that can be written" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("kind", ["missing", "zero", "text", "tiny"])
def test_a_bad_image_is_refused_before_any_model_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    path = tmp_path / "photo.jpg"
    if kind == "zero":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not a picture")
    elif kind == "tiny":
        media.save(path, media.noise(1, 1))
    with pytest.raises(SetupError, match=r"photo\.jpg") as refused:
        run_here(tmp_path / "run", "source=image", f"source.path={path}")
    assert "\n" not in str(refused.value)
    assert capsys.readouterr().out == ""


def test_the_doctor_says_what_is_here() -> None:
    done = engine(module="engine.doctor")
    assert done.returncode == 0, done.stdout
    for piece in ("libraries", "pocket describer", "hub describer", "speaker", "models pull"):
        assert piece in done.stdout


def test_a_pull_without_a_network_ends_in_one_line(tmp_path: Path) -> None:
    blocked = {"HTTPS_PROXY": "http://127.0.0.1:9", "SCENE_ARIA_HOME": str(tmp_path)}
    done = engine("pull", module="models", env=blocked)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
