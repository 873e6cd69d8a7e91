"""The describer on a tiny random FastVLM, saved and loaded like a real pack."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.core.camera import Frame
from engine.core.errors import ConfigError, DescriberFailed, MissingPart, OutOfMemory, PromptTooLong
from models.__main__ import main
from models.describer import FastVlmDescriber, open_describer
from models.fastvlm.inputs import square_pixels
from models.fastvlm.selection import DescriberOptions
from models.packs import PackFiles, find_pack, write_manifest
from tests.fakes.fastvlm import APPLE_SIDE_PX, load_checkpoint
from tests.fakes.tiny import SIDE, save_model, save_processor

pytestmark = pytest.mark.weights
SHIPPED = Path(__file__).parents[2] / "models" / "pocket"
PROMPT = "What is ahead?"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pocket")
    save_model(root / "describer", save_processor(root / "describer"))
    settings = {"name": "tiny", "prompt": PROMPT}
    (root / "describer.json").write_text(json.dumps(settings), encoding="utf-8")
    write_manifest(root, "0")
    return root


@pytest.fixture(scope="module")
def files(root: Path) -> PackFiles:
    return find_pack("describer", "pocket", pocket=root)


@pytest.fixture(scope="module")
def describer(files: PackFiles) -> FastVlmDescriber:
    return FastVlmDescriber(files, "cpu")


@pytest.fixture
def frame() -> Frame:
    image = np.random.default_rng(0).integers(0, 256, (90, 160, 3), np.uint8)
    image.flags.writeable = False
    return Frame(image, 0.0, 0)


def script(monkeypatch: pytest.MonkeyPatch, describer: Any, text: str, end: bool) -> list[int]:
    """Make `describer` generate the tokens of `text`; returns a list of the tokens taken so far."""
    encoded = describer.chat.encode(text)
    taken: list[int] = []

    def tokens(frame: Frame, prompt: str | None) -> Iterator[int]:
        for token in encoded + [next(iter(describer.ends))] * end:
            taken.append(token)
            yield token

    monkeypatch.setattr(describer, "tokens", tokens)
    return taken


def test_the_card_names_model_and_runtime(describer: FastVlmDescriber) -> None:
    card = describer.card
    shown = (card.name, card.pack, card.device, card.backend, card.precision)
    assert shown == ("tiny", "pocket", "cpu", "torch", "fp32")


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_it_gives_the_tokens_of_generate(
    root: Path, tmp_path: Path, frame: Frame, penalty: float
) -> None:
    """With the inputs of transformers' processor, and the same pixels."""
    pack = copied(root, tmp_path)
    path = pack.root / "describer" / "generation_config.json"
    rules = json.loads(path.read_text(encoding="utf-8")) | {"repetition_penalty": penalty}
    path.write_text(json.dumps(rules), encoding="utf-8")
    write_manifest(tmp_path, "0")
    describer: Any = FastVlmDescriber(find_pack("describer", "pocket", pocket=tmp_path), "cpu")
    processor, model = load_checkpoint(path.parent, torch.float32)
    turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": PROMPT}]}]
    chat = processor.apply_chat_template(turn, add_generation_prompt=True)
    inputs = processor(text=chat, images=frame.image, return_tensors="pt")
    assert tuple(inputs["input_ids"][0].tolist()) == describer.prompt_ids(PROMPT)
    pixels = torch.from_numpy(square_pixels(frame.image, SIDE))
    assert (inputs["pixel_values"] - pixels).abs().max() <= 2 / 255
    inputs["pixel_values"] = pixels
    inputs.pop("token_type_ids", None)
    written = model.generate(**inputs, do_sample=False, max_new_tokens=17)
    expected = written[0, inputs["input_ids"].shape[1] :].tolist()
    assert list(describer.tokens(frame)) == expected
    assert len(set(expected)) > 2


def copied(root: Path, to: Path) -> PackFiles:
    """A copy of the pack that a test can change."""
    shutil.copytree(root, to, dirs_exist_ok=True)
    write_manifest(to, "0")
    return find_pack("describer", "pocket", pocket=to)


def test_the_answer_depends_on_the_prompt_and_the_image(
    describer: FastVlmDescriber, frame: Frame
) -> None:
    def written(of: Frame, prompt: str | None = None) -> list[int]:
        return list(describer.tokens(of, prompt))

    assert written(frame, "Anything on the left?") != written(frame)
    dark = Frame(np.zeros((90, 160, 3), np.uint8), 0.0, 0)
    assert written(dark) != written(frame)


def test_a_prefetched_image_is_not_encoded_again(
    describer: FastVlmDescriber, frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = list(describer.tokens(frame))
    encoded: list[Any] = []
    encoder: Any = describer.encoder
    encode = encoder.encode

    def counting(pixels: Any) -> Any:
        encoded.append(pixels)
        return encode(pixels)

    monkeypatch.setattr(encoder, "encode", counting)
    next(describer.look(frame))
    assert list(describer.tokens(frame)) == expected
    assert len(encoded) == 1
    assert list(describer.tokens(frame)) == expected  # a prefetch is used once
    assert len(encoded) == 2
    next(describer.look(frame))
    other = replace(frame, image=np.ascontiguousarray(frame.image[::-1]))
    assert list(describer.tokens(other)) != expected  # not of the prefetched image
    assert len(encoded) == 4
    assert list(describer.tokens(frame)) == expected


@pytest.mark.parametrize("steps", [1, 2, 4, 100])
def test_prefetched_tokens_are_not_generated_again(
    describer: FastVlmDescriber, frame: Frame, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    expected = list(describer.tokens(frame))
    other = list(describer.tokens(frame, "Anything on the left?"))
    prompts: list[Any] = []
    decoder: Any = describer.decoder
    write = decoder.write

    def counting(ids: Any, features: Any, limit: int) -> Any:
        prompts.append(ids)
        return write(ids, features, limit)

    monkeypatch.setattr(decoder, "write", counting)
    done = len(list(islice(describer.look(frame), steps)))
    assert done == min(steps, 1 + len(expected))
    assert list(describer.tokens(frame)) == expected
    assert len(prompts) == 1
    for _ in islice(describer.look(frame), steps):
        pass
    assert list(describer.tokens(frame, "Anything on the left?")) == other
    assert len(prompts) == 3
    assert list(describer.tokens(frame)) == expected


def test_a_failed_prefetch_is_tried_again(
    describer: FastVlmDescriber, frame: Frame, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = list(describer.tokens(frame))
    decoder: Any = describer.decoder
    write = decoder.write

    def failing(ids: Any, features: Any, limit: int) -> Any:
        yield next(write(ids, features, limit))
        raise RuntimeError("the device is gone")

    monkeypatch.setattr(decoder, "write", failing)
    with pytest.raises(RuntimeError, match="gone"):
        list(describer.look(frame))
    monkeypatch.setattr(decoder, "write", write)
    assert list(describer.tokens(frame)) == expected


def test_clauses_are_complete_and_the_first_token_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, describer: FastVlmDescriber, frame: Frame
) -> None:
    monkeypatch.setattr(describer, "max_new_tokens", 1000)
    script(monkeypatch, describer, "a man is walking, and a car is parked. on", end=True)
    moments: list[str] = []
    said = list(describer.describe(frame, lambda: moments.append("first")))
    assert said == ["A man is walking.", "And a car is parked.", "On."]
    assert moments == ["first"]


def test_a_sentence_ends_with_a_complete_word(
    monkeypatch: pytest.MonkeyPatch, describer: Any, frame: Frame
) -> None:
    text = "a man is walking on the street"
    length = len(describer.chat.encode(text))
    script(monkeypatch, describer, f"{text} and a car", end=True)
    monkeypatch.setattr(describer, "max_new_tokens", length)
    # the next token begins with a blank, so "street" is complete
    assert list(describer.describe(frame)) == ["A man is walking on the street."]
    monkeypatch.setattr(describer, "max_new_tokens", 1)
    with pytest.raises(DescriberFailed, match="no usable text"):
        list(describer.describe(frame))


@pytest.mark.parametrize("limit", range(1, 40))
def test_any_limit_gives_complete_words(
    monkeypatch: pytest.MonkeyPatch, describer: Any, frame: Frame, limit: int
) -> None:
    text = "a man is walking on the street and a car is parked near the \u00e9lan."
    script(monkeypatch, describer, text, end=True)
    monkeypatch.setattr(describer, "max_new_tokens", limit)
    try:
        said = " ".join(describer.describe(frame))
    except DescriberFailed:
        return
    assert said.endswith(".")
    assert set(said.lower().rstrip(".").split()) <= set(text.rstrip(".").split())


def test_closing_stops_the_generation(
    monkeypatch: pytest.MonkeyPatch, describer: Any, frame: Frame
) -> None:
    monkeypatch.setattr(describer, "max_new_tokens", 1000)
    text = "a man is walking. " * 20
    taken = script(monkeypatch, describer, text, end=False)
    said = describer.describe(frame)
    assert next(said) == "A man is walking."
    before = len(taken)
    said.close()
    assert len(taken) == before
    assert before < 60


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ValueError("bad\nshape"), DescriberFailed, "ValueError: bad"),
        (MemoryError(), OutOfMemory, "found no memory"),
        (torch.OutOfMemoryError("CUDA out of memory\ntried 1 GB"), OutOfMemory, "found no memory"),
        (RuntimeError("std::bad_alloc"), OutOfMemory, "found no memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), OutOfMemory, "no memory"),
    ],
)
def test_any_failure_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    describer: Any,
    frame: Frame,
    error: Exception,
    kind: type[Exception],
    message: str,
) -> None:
    def fails(pixels: object) -> None:
        raise error

    monkeypatch.setattr(describer.encoder, "encode", fails)
    with pytest.raises(kind, match=message) as caught:
        list(describer.describe(frame))
    assert "\n" not in str(caught.value)


def test_the_image_size_can_be_set(files: PackFiles, frame: Frame) -> None:
    larger: Any = FastVlmDescriber(files, "cpu", image_size=96)
    assert larger.encoder.side_px == 96
    assert larger.prompt_ids(PROMPT).count(larger.chat.image_id) == 9
    assert isinstance(next(larger.tokens(frame)), int)
    with pytest.raises(ConfigError, match="multiple of 32"):
        FastVlmDescriber(files, "cpu", image_size=100)


def test_a_checkpoint_that_does_not_fit_is_refused(root: Path, tmp_path: Path) -> None:
    """Its tensors have other names than transformers expects."""
    from safetensors.torch import load_file, save_file

    folder = copied(root, tmp_path).root / "describer"
    weights = load_file(folder / "model.safetensors")
    renamed = {name.replace("multi_modal_projector", "mm"): t for name, t in weights.items()}
    save_file(renamed, folder / "model.safetensors", {"format": "pt"})
    write_manifest(tmp_path, "0")
    with pytest.raises(MissingPart, match="keys such as"):
        FastVlmDescriber(find_pack("describer", "pocket", pocket=tmp_path), "cpu")


def test_a_tokenizer_of_another_model_is_refused(root: Path, tmp_path: Path) -> None:
    files = copied(root, tmp_path)
    path = files.root / "describer" / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(config | {"image_token_index": 7}), encoding="utf-8")
    write_manifest(tmp_path, "0")
    with pytest.raises(MissingPart, match="tokenizer in which <image> is 2, not 7") as caught:
        FastVlmDescriber(find_pack("describer", "pocket", pocket=tmp_path), "cpu")
    assert "\n" not in str(caught.value)


def test_a_prompt_that_is_too_long_is_refused(describer: FastVlmDescriber, frame: Frame) -> None:
    with pytest.raises(PromptTooLong, match=r"prompt has \d{4} tokens") as caught:
        list(describer.describe(frame, prompt="on " * 2000))
    assert "\n" not in str(caught.value)
    assert list(describer.tokens(frame))


def test_an_image_with_more_tokens_than_the_context_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"image_size=1024: the prompt has 1[0-9]{3} tokens"):
        FastVlmDescriber(find_pack("describer", "pocket", pocket=SHIPPED), "cpu", image_size=1024)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"
        ),
    ],
)
@pytest.mark.parametrize(
    "where", ["models.describer.load_model", "models.fastvlm.torch.qwen2.Qwen2.read"]
)
def test_without_memory_it_opens_and_refuses_every_request(
    root: Path, monkeypatch: pytest.MonkeyPatch, frame: Frame, error: Exception, where: str
) -> None:
    """Loading or the first run may fail: the engine still starts, and answers from the template."""

    def fails(*args: object) -> None:
        raise error

    monkeypatch.setattr(where, fails)
    monkeypatch.setattr(
        "models.describer.find_checkpoint",
        lambda pack, path: find_pack("describer", "pocket", pocket=root),
    )
    describer = open_describer(device="cpu")
    assert (describer.card.name, describer.card.backend) == ("tiny", "none")
    for _ in range(2):
        with pytest.raises(OutOfMemory, match="found no memory on the cpu"):
            describer.describe(frame)


def test_without_memory_for_the_form_it_opens_too(
    monkeypatch: pytest.MonkeyPatch, frame: Frame
) -> None:
    def fails(*args: object, **options: object) -> None:
        raise RuntimeError("Exception from core.cpp:134: std::bad_alloc")

    monkeypatch.setattr("models.fastvlm.openvino.runtime.compiled", fails)
    describer = open_describer("pocket", "cpu")
    assert describer.card.backend == "none"
    with pytest.raises(OutOfMemory, match="found no memory on the cpu"):
        describer.describe(frame)


def test_a_custom_checkpoint(root: Path, frame: Frame) -> None:
    describer: Any = open_describer(device="cpu", path=str(root / "describer"))
    assert (describer.card.name, describer.card.pack) == (
        "describer",
        "own, nothing vouches for it",
    )
    assert describer.card.takes_prompts
    assert list(describer.tokens(frame, PROMPT))


def test_an_exported_checkpoint_of_apples_is_opened_without_transformers(
    apple: Path, exports_home: Path, monkeypatch: pytest.MonkeyPatch, frame: Frame
) -> None:
    options = ["--precision", "int4", "--image-size", str(APPLE_SIDE_PX)]
    assert main(["export", "--checkpoint", str(apple), *options]) == 0

    def fails(*args: object) -> None:
        raise AssertionError("the checkpoint was read")

    for name in ("load_chat", "load_model"):
        monkeypatch.setattr(f"models.describer.{name}", fails)
    describer: Any = open_describer(
        device="cpu",
        path=str(apple),
        image_size=APPLE_SIDE_PX,
        options=DescriberOptions(precision="int4"),
    )
    assert (describer.card.backend, describer.card.precision) == ("openvino", "int8+int4")
    assert describer.card.takes_prompts
    assert list(describer.tokens(frame, PROMPT))
    chat = exports_home / "exports"
    (tokenizer,) = chat.glob("*/chat/tokenizer.json")
    tokenizer.write_text("x" * tokenizer.stat().st_size, encoding="utf-8")
    with pytest.raises(MissingPart, match=r"chat\.json: expected the chat of a FastVLM") as caught:
        open_describer(device="cpu", path=str(apple), image_size=APPLE_SIDE_PX)
    assert "\n" not in str(caught.value)
    shutil.rmtree(tokenizer.parent)
