"""The command records both tiers' outputs, replays and sweeps them, with tiny random networks."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from engine.evaluation import stored_outputs
from tests.fakes import media
from tests.fakes.command import engine, session

pytestmark = pytest.mark.command

PICTURES = 3


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of a small labelled dataset."""
    root = tmp_path_factory.mktemp("recorded")
    rows = []
    for number in range(PICTURES):
        media.save(root / f"{number}.png", media.noise(128, 96))
        rows.append(
            {
                "file": f"{number}.png",
                "width": 128,
                "height": 96,
                "boxes": [["person", 10, 10, 60, 80]],
                "captions": ["a person on a street", f"number {number} of them"],
            }
        )
    lines = "\n".join(map(json.dumps, rows))
    (root / "manifest.jsonl").write_text(lines)
    done = engine(
        "source=dataset", f"source.path={root}", f"record={root / 'outputs.jsonl'}", "mode=auto",
        "router=random", "answer.beats=1", f"hydra.run.dir={root / 'session'}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return root / "outputs.jsonl"


def test_both_tiers_of_every_image_are_measured(recorded: Path) -> None:
    header, kept = stored_outputs.read(recorded)
    assert header.labels == ("person", "bus")
    assert [record.seq for record in kept] == list(range(PICTURES))
    for record in kept:
        assert record.quick.text
        assert record.quick.parts is not None
        assert record.quick.parts.counts.labelled == 1
        assert record.detect_ms > 0
        assert record.classify_ms > 0
        assert np.isfinite(record.to_sound_ms(record.quick))
        assert record.full.error or record.full.all_words_ms >= record.full.first_token_ms > 0


def test_a_replay_speaks_the_same_words_as_the_recording_session(
    recorded: Path, tmp_path: Path
) -> None:
    done = engine(
        f"source.path={recorded}", "router=random", "answer.beats=1", f"hydra.run.dir={tmp_path}"
    )
    assert done.returncode == 0, done.stderr
    replay, first = session(tmp_path), session(recorded.parent / "session")
    assert replay[0]["source"] == "recorded"
    assert replay[0]["models"] == first[0]["models"]
    answers = [r for r in replay if r["type"] == "description"]
    assert len(answers) == PICTURES
    for answer, said in zip(answers, (r for r in first if r["type"] == "description"), strict=True):
        taken, recorded_ms = answer.pop("latency_ms"), said.pop("latency_ms")
        assert answer == said
        # Rounded twice, to nanoseconds and then to microseconds: the last digit can differ.
        assert taken == pytest.approx(recorded_ms, abs=0.0011)
    quality = [
        json.loads((folder / "summary.json").read_text())["quality"]
        for folder in (tmp_path, recorded.parent / "session")
    ]
    assert quality[0] == quality[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["source=recorded", "source.path={truncated}"], "cut off"),
        (["hydra/launcher=slurm"], "slurm"),
    ],
)
def test_a_replay_that_cannot_start_ends_with_one_line(
    recorded: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    truncated = tmp_path / "truncated.jsonl"
    truncated.write_text(recorded.read_text()[:-30])
    overrides = [text.format(truncated=truncated) for text in arguments]
    done = engine(*overrides, f"hydra.run.dir={tmp_path}/run")
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_sweep_in_several_processes_names_the_job_that_failed(
    recorded: Path, tmp_path: Path
) -> None:
    done = engine(
        "-m", "experiment=threshold_sweep", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2",
        "router=random", "router.threshold=0.2,7,0.8", f"source.path={recorded}",
        f"hydra.sweep.dir={tmp_path}",
    )  # fmt: skip
    assert done.returncode == 2
    (line,) = [row for row in done.stderr.splitlines() if row.startswith("scene-aria")]
    assert "router.threshold=7" in line
    assert "router.threshold: expected 0.0 to 1.0, got 7.0" in line
    with (tmp_path / "sweep.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["ok", "failed", "ok"]
    assert [row["router.threshold"] for row in rows] == ["0.2", "7", "0.8"]
    assert (
        "Best under the full budget of 752 ms: **router.threshold="
        in (tmp_path / "README.md").read_text()
    )
    assert (tmp_path / "pareto.png").is_file()


def test_optuna_optimises_quality_and_latency(recorded: Path, tmp_path: Path) -> None:
    done = engine(
        "-m", "hydra/sweeper=optuna", "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=1",
        "mode=auto", "router=random", "answer.beats=1", "router.threshold=interval(0,1)",
        f"source.path={recorded}", f"hydra.sweep.dir={tmp_path}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = (tmp_path / "optimization_results.yaml").read_text()
    values = [line for line in found.splitlines() if line.strip().startswith("- ")]
    assert "router.threshold" in found
    assert len(values) >= 3  # one solution with its quality and its latency
