"""FastVLM's halves in OpenVINO, exported from real checkpoints, against transformers' own model."""

import json
import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from engine.core.errors import DescriberFailed, MissingPart, PromptTooLong
from engine.devices.video.sample import sample_photo
from models import quiet_offline
from models.__main__ import main
from models.fastvlm.checkpoint import load_checkpoint
from models.fastvlm.export.openvino import export_decoder, export_encoder
from models.fastvlm.export.writer import facts_of, write_form
from models.fastvlm.forms import Form, exported_forms, find_form, read_facts
from models.fastvlm.greedy import Greedy
from models.fastvlm.openvino import tuning
from models.fastvlm.openvino.runtime import (
    ARITHMETIC_JSON,
    Arithmetic,
    OpenVinoDecoder,
    compiled,
    open_decoder,
    open_encoder,
)
from models.fastvlm.openvino.tuning import candidates
from models.fastvlm.openvino.weights import GROUP, weight_constant
from models.packs import POCKET
from tests.models.test_fastvlm_checkpoint import apple, parts

__all__ = ["apple", "parts"]  # fixtures
quiet_offline()
LIMIT = 16
EXACT, ROUNDED = ("fp32", "fp16"), ("bf16", "int8", "int4")
Prompt = tuple[list[int], NDArray[np.float32], NDArray[np.float32]]  # ids, pixels, features


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Small networks: threads would wait for each other longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCENE_ARIA_HOME", str(tmp_path_factory.mktemp("home")))
        yield


class Checkpoint:
    """A checkpoint with its decoders exported, and what transformers writes of it in fp32."""

    def __init__(self, folder: Path, side_px: int, precisions: tuple[str, ...]) -> None:
        self.folder, self.side_px = folder, side_px
        self.processor, self.model = load_checkpoint(folder, torch.float32)
        side = {"height": side_px, "width": side_px}
        images = self.processor.image_processor
        images.size = images.crop_size = side
        self.greedy = Greedy.of(self.model.generation_config)
        for precision in precisions:
            form = Form("openvino", "decoder", precision)
            write = partial(export_decoder, self.model, precision)
            write_form(folder, form, facts_of(self.model), write)

    def prompt(self, picture: Any, words: str = "What is ahead?") -> Prompt:
        turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": words}]}]
        text = self.processor.apply_chat_template(turn, add_generation_prompt=True)
        inputs = self.processor(text=text, images=picture, return_tensors="pt")
        pixels = inputs["pixel_values"]
        with torch.inference_mode():
            features = self.model.model.get_image_features(pixels).pooler_output[0]
        return inputs["input_ids"][0].tolist(), pixels.numpy(), features.numpy()

    def expected(self, prompt: Prompt, **settings: Any) -> list[int]:
        ids = torch.tensor([prompt[0]])
        with torch.inference_mode():
            written = self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                pixel_values=torch.from_numpy(prompt[1]),
                max_new_tokens=LIMIT,
                do_sample=False,
                **settings,
            )
        tokens: list[int] = written[0, ids.shape[1] :].tolist()
        return tokens

    def decoder(self, precision: str, greedy: Greedy | None = None) -> OpenVinoDecoder:
        return open_decoder(self.folder, precision, greedy or self.greedy, threads=1)


@pytest.fixture(scope="module")
def pocket() -> Checkpoint:
    return Checkpoint(POCKET / "describer", 224, EXACT + ROUNDED)


@pytest.fixture(scope="module")
def tiny(apple: Path) -> Checkpoint:
    return Checkpoint(apple, 128, EXACT)


def pictures() -> list[Any]:
    """Noise, a gradient, two blocks of colour, and a street."""
    noise = np.random.default_rng(5).integers(0, 256, (90, 120, 3), np.uint8)
    ramp = np.broadcast_to(np.arange(160, dtype=np.uint8)[None, :, None], (120, 160, 3))
    blocks = np.zeros((100, 100, 3), np.uint8)
    blocks[:, :50], blocks[60:, 50:] = (200, 30, 30), (20, 180, 240)
    drawn = [Image.fromarray(np.ascontiguousarray(each)) for each in (noise, ramp, blocks)]
    return [*drawn, Image.open(sample_photo())]


@pytest.fixture(scope="module")
def asked(pocket: Checkpoint) -> list[tuple[Prompt, list[int]]]:
    """Prompts of the shipped describer, and what transformers answers."""
    prompts = [pocket.prompt(picture) for picture in pictures()]
    return [(prompt, pocket.expected(prompt)) for prompt in prompts]


def test_the_shipped_describer_writes_the_same_tokens(
    pocket: Checkpoint, asked: list[tuple[Prompt, list[int]]]
) -> None:
    for precision in EXACT:
        decoder = pocket.decoder(precision)
        for (ids, _, features), expected in asked:
            assert list(decoder.write(ids, features, LIMIT)) == expected
    assert len({tuple(expected) for _, expected in asked}) > 1  # the pictures are looked at


@pytest.mark.parametrize("precision", EXACT)
def test_apples_layout_writes_the_same_tokens(tiny: Checkpoint, precision: str) -> None:
    decoder = tiny.decoder(precision)
    written = []
    for picture in pictures()[2:]:
        prompt = tiny.prompt(picture)
        written.append(list(decoder.write(prompt[0], torch.from_numpy(prompt[2]), LIMIT)))
        assert written[-1] == tiny.expected(prompt)
    assert all(len(set(tokens)) > 2 for tokens in written)  # no single token over and over


@pytest.mark.parametrize(("precision", "agreed"), [("bf16", 0.98), ("int8", 0.95), ("int4", 0.85)])
def test_rounded_weights_write_nearly_the_same(
    pocket: Checkpoint,
    asked: list[tuple[Prompt, list[int]]],
    precision: str,
    agreed: float,
) -> None:
    """Each token after transformers' own before it, so that one difference is counted once."""
    folder = find_form(pocket.folder, Form("openvino", "decoder", precision))
    for arithmetic in candidates(precision):
        graph = compiled(folder, precision, arithmetic.number, threads=1)
        decoder = OpenVinoDecoder(graph, precision, read_facts(folder), pocket.greedy, arithmetic)
        same = count = 0
        for (ids, _, features), expected in asked:
            for place, token in enumerate(expected):
                same += next(decoder.write(ids + expected[:place], features, 1)) == token
                count += 1
            whole = list(decoder.write(ids, features, LIMIT))
            assert whole[-1] in pocket.greedy.ends  # it ends by itself
        assert same / count >= agreed, f"{arithmetic}: {same} of {count}"


def test_a_decoder_computes_in_what_was_quickest_when_it_was_exported(
    pocket: Checkpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tuning, "has_bf16", lambda: True)
    possible = tuning.candidates("int8")
    assert [(a.number, a.block) for a in possible] == [("bf16", None), ("bf16", 64), ("f32", None)]
    for best in possible:
        monkeypatch.setattr(tuning, "measure_s", lambda *a, best=best: float(a[-1] != best))
        export_decoder(pocket.model, "int8", tmp_path)
        kept = json.loads((tmp_path / ARITHMETIC_JSON).read_text(encoding="utf-8"))
        assert kept == {"number": best.number, "block": best.block}

    def only(number: str) -> Any:
        def measure_s(*asked: Any) -> float:
            if asked[-1].number != number:
                raise RuntimeError("no kernel")
            return 1.0

        return measure_s

    facts = facts_of(pocket.model)
    monkeypatch.setattr(tuning, "measure_s", only("f32"))
    assert tuning.fastest(tmp_path, "int8", facts) == Arithmetic("f32", None)
    monkeypatch.setattr(tuning, "measure_s", only("bf16"))
    assert tuning.fastest(tmp_path, "int8", facts) == Arithmetic("bf16", None)
    monkeypatch.setattr(tuning, "measure_s", only("none"))
    with pytest.raises(RuntimeError, match="no kernel"):
        tuning.fastest(tmp_path, "int8", facts)
    assert tuning.candidates("fp16") == [Arithmetic("f32", None)]  # so that nothing is rounded
    assert Arithmetic("f32", None) not in tuning.candidates("bf16")
    monkeypatch.setattr(tuning, "has_bf16", lambda: False)
    assert tuning.candidates("int4") == [Arithmetic("f32", None)]


def test_a_prompt_is_read_in_the_blocks_that_were_quickest(
    tmp_path: Path, pocket: Checkpoint
) -> None:
    form = Form("openvino", "decoder", "int8")
    folder = find_form(pocket.folder, form)
    kept = tmp_path / "kept"
    shutil.copytree(folder, kept)

    def says(text: str) -> None:
        facts = json.loads((kept / "export.json").read_text(encoding="utf-8"))
        facts["files"][ARITHMETIC_JSON] = len(text)
        (folder / "export.json").write_text(json.dumps(facts), encoding="utf-8")
        (folder / ARITHMETIC_JSON).write_text(text, encoding="utf-8")

    for block in (64, None):
        says(json.dumps({"number": "f32", "block": block}))
        assert pocket.decoder("int8").prompt_block == (block or 512)
    for broken in ("[", '{"number": "f32"}', '{"number": "f7", "block": null}'):
        says(broken)
        with pytest.raises(
            MissingPart, match=f"to mend it: {re.escape(form.command(pocket.folder))}"
        ):
            pocket.decoder("int8")
    shutil.rmtree(folder)
    shutil.copytree(kept, folder)


def test_generation_settings_are_followed(pocket: Checkpoint) -> None:
    greedy = Greedy(frozenset(), repetition_penalty=1.4, no_repeat_ngram=2)
    prompt = pocket.prompt(pictures()[3])
    got = list(pocket.decoder("fp32", greedy).write(prompt[0], prompt[2], LIMIT))
    settings = {"repetition_penalty": 1.4, "no_repeat_ngram_size": 2, "eos_token_id": None}
    assert got == pocket.expected(prompt, **settings)
    assert len(got) == LIMIT  # no end token, so only the limit ends it


def test_an_answer_broken_off_leaves_nothing_behind(
    pocket: Checkpoint, asked: list[tuple[Prompt, list[int]]]
) -> None:
    decoder = pocket.decoder("fp32")
    (ids, _, features), _ = asked[0]
    broken: Any = decoder.write(ids, features, LIMIT)
    next(broken)
    next(broken)
    broken.close()
    (ids, _, features), expected = asked[3]
    assert list(decoder.write(ids, features, LIMIT)) == expected
    assert list(decoder.write(ids, features, 2)) == expected[:2]
    assert list(decoder.write(ids, features, 0)) == []


def test_what_does_not_fit_is_refused(
    pocket: Checkpoint, asked: list[tuple[Prompt, list[int]]]
) -> None:
    decoder = pocket.decoder("fp32")
    (ids, _, features), _ = asked[0]
    with pytest.raises(PromptTooLong, match=f"{len(ids)} tokens, .* holds 512"):
        decoder.write(ids, features, 513 - len(ids))
    assert next(decoder.write(ids, features, 512 - len(ids)))
    with pytest.raises(DescriberFailed, match="49 image tokens, and the picture 48"):
        decoder.write(ids, features[1:], LIMIT)


def test_the_encoder_sees_what_transformers_sees(pocket: Checkpoint, tiny: Checkpoint) -> None:
    photo = pictures()[3]
    for checkpoint, precision, off in (
        (pocket, "fp32", 1e-4),
        (pocket, "int8", 0.1),
        (tiny, "fp16", 2e-3),
        (tiny, "bf16", 0.05),
    ):
        form = Form("openvino", "encoder", precision, checkpoint.side_px)
        write = partial(export_encoder, checkpoint.model, precision, checkpoint.side_px)
        write_form(checkpoint.folder, form, facts_of(checkpoint.model), write)
        encoder = open_encoder(checkpoint.folder, precision, checkpoint.side_px, threads=1)
        _, pixels, expected = checkpoint.prompt(photo)
        first = encoder.encode(pixels)
        assert np.linalg.norm(first - expected) < off * np.linalg.norm(expected)
        kept = first.copy()
        encoder.encode(np.zeros_like(pixels))
        assert (first == kept).all()  # an answer is not overwritten by the next


def test_a_damaged_export_names_its_file_and_what_mends_it(
    tiny: Checkpoint, tmp_path: Path
) -> None:
    form = Form("openvino", "decoder", "fp32")
    graph = find_form(tiny.folder, form) / "model.xml"
    whole = graph.read_bytes()
    for broken in (whole[:-40], whole[:500].replace(b"<", b">") + whole[500:]):
        graph.write_bytes(broken)
        with pytest.raises(MissingPart) as refused:
            tiny.decoder("fp32")
        line = str(refused.value)
        assert line.startswith(f"{graph}: expected")
        assert line.endswith(f"to mend it: {form.command(tiny.folder)}")
        assert "\n" not in line
    graph.write_bytes(whole)
    with pytest.raises(MissingPart, match=r"int8 for openvino has not been exported .* run: "):
        tiny.decoder("int8")


@pytest.mark.parametrize(
    ("precision", "off"),
    [("fp32", 0), ("fp16", 5e-4), ("bf16", 4e-3), ("int8", 4e-3), ("int4", 0.08)],
)
@pytest.mark.parametrize("shape", [(5, 3 * GROUP), (4, 9), (6, 1, 7, 7)])
def test_stored_weights_are_the_weights(precision: str, off: float, shape: tuple[int, ...]) -> None:
    import openvino as ov

    weights = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
    weights[0] = 0
    node = weight_constant(weights, precision)
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    got = ov.compile_model(ov.Model([node], []), "CPU", exact)([])[0]
    assert got.shape == shape
    assert np.abs(got - weights).max() <= off


def test_the_command_writes_what_is_missing(
    pocket: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["export", "--checkpoint", str(pocket.folder), "--part", "decoder", "--precision"]
    folder = find_form(pocket.folder, Form("openvino", "decoder", "int4"))
    (folder / "model.bin").unlink()
    assert main([*asked, "int8,int4"]) == 0
    said = capsys.readouterr().out
    assert "openvino/decoder-int8: here already" in said
    assert "openvino/decoder-int4: 2.6 MB, in" in said
    assert Form("openvino", "decoder", "int4") in exported_forms(pocket.folder)
    asked.remove("--part")
    asked.remove("decoder")
    # no encoder has 4 bits: the next best
    assert main([*asked, "int4", "--image-size", "224"]) == 0
    assert "openvino/encoder-int8-224: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "--precision int3",
            "--precision: expected some of fp32, fp16, bf16, int8, int4, got int3",
        ),
        ("--runtime tflite", "--runtime: expected some of openvino"),
        ("--part head", "--part: expected some of encoder, decoder, got head"),
        ("--image-size 100", "--image-size: expected multiples of 32, got 100"),
        ("--image-size big", "--image-size: expected sides in pixels such as 512,1024, got big"),
        ("--checkpoint nowhere", "nowhere: expected a FastVLM checkpoint, got"),
    ],
)
def test_what_cannot_be_asked_for_is_one_line(
    words: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = [] if "--checkpoint" in words else ["--pack", "pocket"]
    assert main(["export", *pack, *words.split()]) == 2
    assert capsys.readouterr().err.startswith(f"error: {line}")
