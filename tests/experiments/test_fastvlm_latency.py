"""The benchmark of FastVLM's recipes, its floors and its random weights."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from experiments.fastvlm.agreement import Agreement
from experiments.fastvlm.bench import TimedAnswer
from experiments.fastvlm.floor import READ_BYTES, SIDE, AnswerWork, DeviceLimits
from experiments.fastvlm.latency import main, names
from experiments.fastvlm.random_weights import PROMPT, SMALL, TRUE, shapes, write_weights
from experiments.fastvlm.rows import Timings
from models import quiet_offline

quiet_offline()
pytestmark = pytest.mark.weights


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("random"), SMALL)


def test_random_weights_have_apples_names_and_number() -> None:
    wanted = shapes(TRUE)
    assert len(wanted) == 924  # Apple's model.safetensors
    assert sum(tensor.numel() for tensor in wanted.values()) == 758_833_804
    assert wanted["model.vision_tower.vision_tower.model.network.7.0.layer_scale_1"].shape[0] == 768


def test_random_weights_load_and_stay_finite_in_half_precision(folder: Path) -> None:
    import torch

    from tests.fakes.fastvlm import load_checkpoint

    processor, model = load_checkpoint(folder, torch.float16)
    turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": PROMPT}]}
    chat = processor.apply_chat_template([turn], add_generation_prompt=True)
    assert len(processor.tokenizer(chat)["input_ids"]) == 26  # as Qwen2's own makes it
    pixels = torch.rand(1, 3, 256, 256).half()
    ids = torch.tensor([[151644, *[processor.image_token_id] * 16, 151645]])
    with torch.inference_mode():
        logits = model(input_ids=ids, pixel_values=pixels).logits
    assert torch.isfinite(logits).all()
    assert int(logits[0, -1].argmax()) < 151643  # never an end or another special token
    assert logits[0, -1].std() > 0.1


def test_the_floor_is_bytes_over_bandwidth_or_operations_over_rate() -> None:
    machine = DeviceLimits(bytes_s=1e9, operations_s={"bf16": 1e12, "fp32": 1e11})
    work = AnswerWork(
        encoder_parameters=1_000_000, encoder_operations={64: 50_000_000_000},
        decoder_parameters=10_000_000, cache_numbers=1000,
    )  # fmt: skip
    floor = work.floor(machine, 64, prompt=100, tokens=3, precisions=("bf16", "bf16"))
    assert floor.encoder_ms == pytest.approx(50.0)  # operations: its bytes take 2 ms
    assert floor.prefill_ms == pytest.approx(20.0)  # bytes: its operations take 2 ms
    # 20 MB of weights, and 2,000 bytes for each of 101 and 102 tokens in the cache
    assert floor.token_ms == pytest.approx(20.0 + 0.203)
    assert floor.total_ms == pytest.approx(50.0 + 20.0 + 2 * 20.203)
    quarter = work.floor(machine, 64, 100, 3, ("fp32", "int4"))
    assert quarter.encoder_ms == pytest.approx(500.0)
    assert quarter.prefill_ms == pytest.approx(10 * (0.5 + 2 / 64))


def test_one_long_answer_gives_the_timings_of_the_shorter_ones() -> None:
    times = Timings.of([TimedAnswer((1, 2, 3, 4), 10.0, (30.0, 34.0, 38.0, 50.0))], 3)
    assert times.encoder[0] == 10.0
    assert times.prefill[0] == 20.0
    assert times.token[0] == 4.0
    assert times.total == (38.0, 38.0)


def test_agreement_counts_tokens_answers_and_the_first_mismatch() -> None:
    found = Agreement.of("ours", [(1, 2, 3, 4), (5, 6), (7, 8)], [(1, 2, 9, 4), (5, 6), (7, 8, 9)])
    assert found.share == pytest.approx(7 / 9)  # 3 of 4, 2 of 2, 2 of 3
    assert found.same == pytest.approx(1 / 3)
    assert found.first_difference == 2.0  # the third token in both


@pytest.fixture(scope="module")
def ran(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Where the command wrote its files, and its last line."""
    out = tmp_path_factory.mktemp("out")
    stdout = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(stdout):
        # The measured bandwidth and rates do not matter here.
        patch.setitem(READ_BYTES, "cpu", 1 << 20)
        patch.setitem(SIDE, "cpu", 64)
        status = main([
            "--checkpoint", str(folder), "--image-size", "64", "--tokens", "2,4", "--repeats", "2",
            "--backends", "baseline,torch,tensorrt,quick", "--device", "cpu", "--no-memory",
            "--out", str(out),
        ])  # fmt: skip
    assert status == 0
    return out, json.loads(stdout.getvalue().splitlines()[-1])


def test_the_last_line_compares_the_baseline_recipe_with_ours(
    ran: tuple[Path, dict[str, Any]],
) -> None:
    _, said = ran
    for key in ("seed_recipe_ms", "ours_ms", "speedup", "first_token_ms", "floor_ms"):
        assert said[key] > 0
    assert said["speedup"] == pytest.approx(said["seed_recipe_ms"] / said["ours_ms"], abs=0.01)
    assert (said["image_size"], said["tokens"], said["weights"]) == (64, 4, "random")
    assert said["ours"].startswith("torch")
    assert said["device"]


def test_the_table_has_the_original_options_and_says_what_is_missing(
    ran: tuple[Path, dict[str, Any]],
) -> None:
    out, _ = ran
    text = (out / "fastvlm_latency.md").read_text(encoding="utf-8")
    assert "random weights" in text.splitlines()[0]
    options, rest = text.split("## Everything")
    for option in (
        "PyTorch, 16 tokens", "PyTorch, 8 tokens", "no cache", "torch.compile",
        "ONNX encoder, torch decoder", "full ONNX", "TensorRT", "INT4", "FastViT with templates",
    ):  # fmt: skip
        assert f"| {option} |" in options
    assert "0 graphs were compiled" in options  # generate of a compiled module is the bare one's
    absent = rest.split("## Not here")[1]
    assert "| TensorRT fp16 | ONNX" in absent
    assert "install" in absent
    assert (out / "fastvlm_latency.png").stat().st_size > 10_000


def test_the_rows_add_up(ran: tuple[Path, dict[str, Any]]) -> None:
    out, _ = ran
    rows = json.loads((out / "fastvlm_latency.json").read_text(encoding="utf-8"))["rows"]
    measured = [row for row in rows if row["times"]]
    assert {row["recipe"] for row in measured} >= {
        "generate, no cache", "no cache, encoded once", "generate, with cache", "torch fp32",
        "FastViT and templates",
    }  # fmt: skip
    for row in measured:
        times = row["times"]
        assert 0 < times["encoder"][0] <= times["first"][0] <= times["total"][0]
        assert row["runs"] == 2
        assert row["floor_total_ms"] is None or row["floor_total_ms"] > 0
    assert {row["why"] == "" for row in measured} == {True}


def test_the_old_name_of_the_baseline_is_still_accepted() -> None:
    assert names("seed,torch") == ("baseline", "torch")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("--image-size", "100"), "multiples of 64"),
        (("--checkpoint", "nowhere"), "nowhere"),
        (("--backends", "tpu"), "expected some of baseline,torch"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    asked: tuple[str, str],
    said: str,
) -> None:
    arguments = dict([("--checkpoint", str(folder)), ("--device", "cpu"), asked])
    try:
        status = main([*[part for pair in arguments.items() for part in pair]])
    except SystemExit as error:  # argparse's
        status = int(str(error.code))
    assert status == 2
    assert said in capsys.readouterr().err.splitlines()[-1]
