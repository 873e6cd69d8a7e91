"""FastVLM's encoder and decoder in OpenVINO, exported from real checkpoints, against
transformers."""

import json
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.core.errors import DescriberFailed, MissingPart, PromptTooLong
from models.__main__ import main
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
from tests.fakes.fastvlm import NEW_TOKENS, Prompt, Reference, pictures

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("exports_home", "one_thread")]
EXACT, ROUNDED = ("fp32", "fp16"), ("bf16", "int8", "int4")
Answers = list[tuple[Prompt, list[int]]]  # prompts and the tokens that transformers generates


@pytest.fixture(scope="module", autouse=True)
def _decoders(exports_home: Path, one_thread: None, pocket: Reference, tiny: Reference) -> None:
    """Exports the decoders that the tests open."""
    for reference, precisions in ((pocket, EXACT + ROUNDED), (tiny, EXACT)):
        for precision in precisions:
            form = Form("openvino", "decoder", precision)
            write = partial(export_decoder, reference.model, precision)
            write_form(reference.folder, form, facts_of(reference.model), write)


@pytest.fixture(scope="module")
def answers(pocket: Reference) -> Answers:
    prompts = [pocket.prompt(picture) for picture in pictures()]
    return [(prompt, pocket.expected(prompt)) for prompt in prompts]


def opened(of: Reference, precision: str, greedy: Greedy | None = None) -> OpenVinoDecoder:
    return open_decoder(of.folder, precision, greedy or of.greedy, threads=1)


def test_exact_weights_give_the_tokens_of_transformers(pocket: Reference, answers: Answers) -> None:
    for precision in EXACT:
        decoder = opened(pocket, precision)
        for (ids, _, features), expected in answers:
            assert list(decoder.write(ids, features, NEW_TOKENS)) == expected
    assert len({tuple(expected) for _, expected in answers}) > 1  # they depend on the image


@pytest.mark.parametrize("precision", EXACT)
def test_apples_layout_gives_the_tokens_of_transformers(tiny: Reference, precision: str) -> None:
    decoder = opened(tiny, precision)
    written = []
    for picture in pictures()[2:]:
        prompt = tiny.prompt(picture)
        written.append(
            list(decoder.write(prompt.ids, torch.from_numpy(prompt.features), NEW_TOKENS))
        )
        assert written[-1] == tiny.expected(prompt)
    assert all(len(set(tokens)) > 2 for tokens in written)  # not one repeated token


@pytest.mark.parametrize(("precision", "share"), [("bf16", 0.98), ("int8", 0.95), ("int4", 0.85)])
def test_rounded_weights_agree_with_transformers(
    pocket: Reference,
    answers: Answers,
    precision: str,
    share: float,
) -> None:
    """Each token is compared after the tokens of transformers, so that one mismatch counts once."""
    folder = find_form(pocket.folder, Form("openvino", "decoder", precision))
    for arithmetic in candidates(precision):
        graph = compiled(folder, precision, arithmetic.number, threads=1)
        decoder = OpenVinoDecoder(graph, precision, read_facts(folder), pocket.greedy, arithmetic)
        same = count = 0
        for (ids, _, features), expected in answers:
            for index, token in enumerate(expected):
                same += next(decoder.write(ids + expected[:index], features, 1)) == token
                count += 1
            whole = list(decoder.write(ids, features, NEW_TOKENS))
            assert whole[-1] in pocket.greedy.ends  # it ends with an end token
        assert same / count >= share, f"{arithmetic}: {same} of {count}"


def test_the_fastest_arithmetic_is_chosen_at_export(
    pocket: Reference, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
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
    assert tuning.candidates("fp16") == [Arithmetic("f32", None)]  # exact weights are never rounded
    assert Arithmetic("f32", None) not in tuning.candidates("bf16")
    monkeypatch.setattr(tuning, "has_bf16", lambda: False)
    assert tuning.candidates("int4") == [Arithmetic("f32", None)]


def test_the_exported_arithmetic_is_used(tmp_path: Path, pocket: Reference) -> None:
    form = Form("openvino", "decoder", "int8")
    folder = find_form(pocket.folder, form)
    kept = tmp_path / "kept"
    shutil.copytree(folder, kept)

    def write_arithmetic(text: str) -> None:
        facts = json.loads((kept / "export.json").read_text(encoding="utf-8"))
        facts["files"][ARITHMETIC_JSON] = len(text)
        (folder / "export.json").write_text(json.dumps(facts), encoding="utf-8")
        (folder / ARITHMETIC_JSON).write_text(text, encoding="utf-8")

    for block in (64, None):
        write_arithmetic(json.dumps({"number": "f32", "block": block}))
        assert opened(pocket, "int8").prompt_block == (block or 512)
    for broken in ("[", '{"number": "f32"}', '{"number": "f7", "block": null}'):
        write_arithmetic(broken)
        with pytest.raises(
            MissingPart, match=f"to repair it: {re.escape(form.command(pocket.folder))}"
        ):
            opened(pocket, "int8")
    shutil.rmtree(folder)
    shutil.copytree(kept, folder)


def test_generation_settings_are_followed(pocket: Reference) -> None:
    greedy = Greedy(frozenset(), repetition_penalty=1.4, no_repeat_ngram=2)
    prompt = pocket.prompt(pictures()[3])
    got = list(opened(pocket, "fp32", greedy).write(prompt.ids, prompt.features, NEW_TOKENS))
    settings = {"repetition_penalty": 1.4, "no_repeat_ngram_size": 2, "eos_token_id": None}
    assert got == pocket.expected(prompt, **settings)
    assert len(got) == NEW_TOKENS  # without end tokens, only the limit ends it


def test_a_closed_answer_does_not_affect_the_next(pocket: Reference, answers: Answers) -> None:
    decoder = opened(pocket, "fp32")
    (ids, _, features), _ = answers[0]
    broken: Any = decoder.write(ids, features, NEW_TOKENS)
    next(broken)
    next(broken)
    broken.close()
    (ids, _, features), expected = answers[3]
    assert list(decoder.write(ids, features, NEW_TOKENS)) == expected
    assert list(decoder.write(ids, features, 2)) == expected[:2]
    assert list(decoder.write(ids, features, 0)) == []


def test_inputs_that_do_not_fit_are_refused(pocket: Reference, answers: Answers) -> None:
    decoder = opened(pocket, "fp32")
    (ids, _, features), _ = answers[0]
    with pytest.raises(PromptTooLong, match=f"{len(ids)} tokens, .* holds 512"):
        decoder.write(ids, features, 513 - len(ids))
    assert next(decoder.write(ids, features, 512 - len(ids)))
    with pytest.raises(DescriberFailed, match="49 image tokens, but the image has 48"):
        decoder.write(ids, features[1:], NEW_TOKENS)


def test_the_encoder_gives_the_features_of_transformers(pocket: Reference, tiny: Reference) -> None:
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
        assert (first == kept).all()  # not overwritten by the next image


def test_a_damaged_export_names_its_file_and_the_command(tiny: Reference, tmp_path: Path) -> None:
    form = Form("openvino", "decoder", "fp32")
    graph = find_form(tiny.folder, form) / "model.xml"
    whole = graph.read_bytes()
    for broken in (whole[:-40], whole[:500].replace(b"<", b">") + whole[500:]):
        graph.write_bytes(broken)
        with pytest.raises(MissingPart) as refused:
            opened(tiny, "fp32")
        line = str(refused.value)
        assert line.startswith(f"{graph}: expected")
        assert line.endswith(f"to repair it: {form.command(tiny.folder)}")
        assert "\n" not in line
    assert re.search(r"expected a graph for OpenVINO \d+\.\d.*, got one of \d+\.\d", line)
    graph.write_bytes(whole)
    with pytest.raises(MissingPart, match=r"int8 for openvino has not been exported .* run: "):
        opened(tiny, "int8")


@pytest.mark.parametrize(
    ("precision", "off"),
    [("fp32", 0), ("fp16", 5e-4), ("bf16", 4e-3), ("int8", 4e-3), ("int4", 0.08)],
)
@pytest.mark.parametrize("shape", [(5, 3 * GROUP), (4, 9), (6, 1, 7, 7)])
def test_constants_hold_the_weights(precision: str, off: float, shape: tuple[int, ...]) -> None:
    import openvino as ov

    weights = np.random.default_rng(1).uniform(-1, 1, shape).astype(np.float32)
    weights[0] = 0
    node = weight_constant(weights, precision)
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    got = ov.compile_model(ov.Model([node], []), "CPU", exact)([])[0]
    assert got.shape == shape
    assert np.abs(got - weights).max() <= off


def test_the_command_writes_what_is_missing(
    pocket: Reference, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", "--checkpoint", str(pocket.folder), "--part", "decoder", "--precision"]
    folder = find_form(pocket.folder, Form("openvino", "decoder", "int4"))
    (folder / "model.bin").unlink()
    assert main([*command, "int8,int4"]) == 0
    output = capsys.readouterr().out
    assert "openvino/decoder-int8: already exported" in output
    assert "openvino/decoder-int4: 2.6 MB, in" in output
    assert Form("openvino", "decoder", "int4") in exported_forms(pocket.folder)
    command.remove("--part")
    command.remove("decoder")
    # no encoder has 4 bits, so int8 is written
    assert main([*command, "int4", "--image-size", "224"]) == 0
    assert "openvino/encoder-int8-224: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "line"),
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
def test_impossible_options_are_refused_in_one_line(
    options: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pack = [] if "--checkpoint" in options else ["--pack", "pocket"]
    assert main(["export", *pack, *options.split()]) == 2
    assert capsys.readouterr().err.startswith(f"error: {line}")
