"""End to end: the real command in a process of its own, no network, and a pack of tiny random
networks, so that nothing here depends on what the shipped weights know."""

import itertools
import json
import wave
from pathlib import Path

import numpy as np
import pytest

from engine.devices.video.sample import sample_photo
from engine.devices.view.rerun_view import images_at
from tests.fakes import media
from tests.fakes.command import describe, engine, one, session

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
    """The main job, whole, in real time: (its folder, what the terminal showed)."""
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


def test_the_wearer_hears_that_it_starts_before_anything_is_loaded(
    sample: tuple[Path, str],
) -> None:
    folder, _ = sample
    records = session(folder)
    starting, ready = [r for r in records if r["type"] == "utterance" and r["kind"] == "status"][:2]
    assert (starting["text"], ready["text"]) == ("Starting.", "Ready.")
    assert 0 <= starting["started_t"] < starting["ended_t"] < records[0]["t"] <= ready["started_t"]
    with wave.open(str(folder / "audio.wav")) as file:  # its time is that of the records
        rate = file.getframerate()
        samples = np.abs(np.frombuffer(file.readframes(file.getnframes()), np.int16)[::2])
    # A busy machine may feed the sink a little late; loading takes far longer than that second.
    waiting = slice(
        round((starting["ended_t"] + 0.1) * rate), round((ready["started_t"] - 1) * rate)
    )
    assert not samples[waiting].any()
    assert samples[waiting.stop : waiting.stop + 2 * rate].max() > 300


def test_the_terminal_shows_models_answer_and_budgets(sample: tuple[Path, str]) -> None:
    _, shown = sample
    for words in ("Scene Aria", "detector", "describer", "route", "budget", "session.jsonl"):
        assert words in shown
    assert "420" in shown or "752" in shown  # of the tier that answered


@pytest.mark.parametrize(("mode", "tier"), [("quick", "quick"), ("full", "full")])
def test_each_mode_answers_from_its_tier(tmp_path: Path, mode: str, tier: str) -> None:
    description = one(describe(tmp_path, f"mode={mode}"), "description")
    assert description["tier"] == tier
    assert [beat["tier"] for beat in description["beats"]] == [tier]
    assert description["text"].endswith((".", "!", "?"))


def test_a_large_sign_is_read_within_the_quick_answer(tmp_path: Path) -> None:
    photo = media.save(tmp_path / "sign.png", media.street(("EXIT 12", 300, 300, 70)).image)
    done = engine(
        "source=image", f"source.path={photo}", "source.realtime=false", "trigger=once",
        "mode=quick", "speech=wav", f"hydra.run.dir={tmp_path / 'run'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    records = session(tmp_path / "run")
    assert "EXIT 12" in one(records, "description")["text"]
    said = [r for r in records if r["type"] == "utterance" and "EXIT 12" in r["text"]]
    assert [r["dropped"] for r in said] == [None]


def test_spanish_is_spanish(tmp_path: Path) -> None:
    records = describe(tmp_path, "language=es", "mode=full")
    text = one(records, "description")["text"]
    assert any(word in text.lower() for word in (" una ", " un ", "metros", "delante"))
    assert "person " not in text.lower()


def test_the_same_input_gives_the_same_words(tmp_path: Path) -> None:
    def words(folder: Path) -> list[tuple[str, str]]:
        return [(r["type"], r["text"]) for r in describe(folder) if "text" in r]

    assert words(tmp_path / "a") == words(tmp_path / "b")


BAD = {
    "mode=fast": "mode: expected one of auto, quick, full, got 'fast'",
    "router.threshold=2": "router.threshold: expected 0.0 to 1.0, got 2.0",
    "router.threshold=high": "router.threshold: expected Float, got 'high'",
    "roter.threshold=0.5": "roter.threshold: expected a configuration key",
    "source=nowhere": "source: expected one of",
    "source=recorded": "source.path: source=recorded needs one",
    "models=hub": "models pull",
}


@pytest.mark.parametrize("override", BAD)
def test_bad_settings_end_in_one_line(tmp_path: Path, override: str) -> None:
    done = engine(override, f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 2
    assert BAD[override] in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_output_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = engine(f"hydra.run.dir={tmp_path / 'file' / 'run'}")
    assert done.returncode == 2
    assert "hydra.run.dir: expected a folder that can be written" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("kind", ["missing", "zero", "text", "tiny"])
def test_a_bad_picture_ends_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "photo.jpg"
    if kind == "zero":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not a picture")
    elif kind == "tiny":
        media.save(path, media.noise(1, 1))
    done = engine("source=image", f"source.path={path}", f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 2
    assert "photo.jpg" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_multirun_leaves_a_sweep(tmp_path: Path) -> None:
    done = engine(
        "-m", "mode=auto", "router.threshold=0.0,1.0", "source=image",
        f"source.path={sample_photo()}", "source.realtime=false", "speech=silent",
        f"hydra.sweep.dir={tmp_path}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tiers = [one(session(tmp_path / job), "description")["tier"] for job in ("0", "1")]
    assert tiers == ["full", "quick"]
    rows = (tmp_path / "sweep.csv").read_text().splitlines()
    assert len(rows) == 3
    assert "router.threshold" in rows[0]
    assert list(tmp_path.glob("*.png"))


def test_a_view_is_recorded_because_it_was_asked_for(tmp_path: Path) -> None:
    done = engine(
        "source=image", f"source.path={sample_photo()}", "source.realtime=false", "mode=quick",
        "speech=silent", "view=rerun", f"hydra.run.dir={tmp_path}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "session.rrd; it stores the camera's pictures" in " ".join(done.stdout.split())
    picture, early = images_at(tmp_path / "session.rrd", [0.0, -1.0])
    assert picture is not None
    assert early is None
    assert session(tmp_path)[-1]["errors"] == 0


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
