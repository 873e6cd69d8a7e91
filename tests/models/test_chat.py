"""The exported chat against transformers' processor: the same token ids, the same text."""

import json
from pathlib import Path
from typing import Any

import pytest

from models.fastvlm.chat import CHAT_JSON, TOKENIZER_JSON, Chat
from models.fastvlm.greedy import Greedy
from models.fastvlm.processor import chat_of, load_chat, load_processor, render
from models.packs import POCKET
from tests.fakes.fastvlm import CONFIG, SPECIAL
from tests.fakes.tiny import save_processor

pytestmark = pytest.mark.weights
PROMPTS = (
    "",
    "What is ahead?",
    " two  blanks, \u00e9lan, \u4f60\u597d and \U0001f642\n",
    '{{ message }} {% if %} <|im_end|> %s \\n "quoted"',
    "In one sentence, what is directly ahead, left and right? Hazards first. " * 5,
)


@pytest.fixture(scope="module", params=["pocket", "apple", "published", "tiny"])
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    if request.param == "apple":
        folder: Path = request.getfixturevalue("apple")
        return folder
    if request.param == "pocket":
        return POCKET / "describer"
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "published":
        save_published_tokenizer(folder)
        return folder
    save_processor(folder)
    vocabulary = {"text_config": {"vocab_size": 320}, "image_token_index": 2}
    (folder / "config.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    return folder


def save_published_tokenizer(folder: Path) -> None:
    """A tokenizer as Apple publishes it: Qwen2's vocabulary and merges, and no tokenizer.json."""
    from tokenizers import pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("w", "h"), ("wh", "a"), ("\u0120", "a"), ("\u0120a", "h")]
    tokens = [*letters, *["".join(pair) for pair in merges]]
    tokens += [f"<unused {number}>" for number in range(len(tokens), 151643)]
    (folder / "vocab.json").write_text(
        json.dumps({token: number for number, token in enumerate(tokens)}), encoding="utf-8"
    )
    lines = "".join(f"{first} {second}\n" for first, second in merges)
    (folder / "merges.txt").write_text(f"#version: 0.2\n{lines}", encoding="utf-8")
    added = {
        str(151643 + number): {"content": token, "special": True}
        for number, token in enumerate(SPECIAL)
    }
    settings = {
        "tokenizer_class": "Qwen2Tokenizer",
        "added_tokens_decoder": added,
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    (folder / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")


@pytest.fixture(scope="module")
def both(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Chat]:
    """transformers' processor, and the chat as it is read from its files."""
    folder = tmp_path_factory.mktemp("chat")
    load_chat(checkpoint).save(folder)
    return load_processor(checkpoint), Chat.open(folder)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_saved_chat_gives_the_ids_and_the_text_of_transformers(
    both: tuple[Any, Chat], prompt: str
) -> None:
    processor, chat = both
    rendered = render(processor, prompt)
    rendered = rendered.replace(processor.image_token, processor.image_token * 16)
    ids = chat.ids(prompt, 4 * chat.patch_px)
    assert list(ids) == processor.tokenizer(rendered)["input_ids"]
    assert ids.count(chat.image_id) == 16
    for some in (ids, ids[::2], ids[:7]):
        assert chat.decode(some) == processor.tokenizer.decode(
            some, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )


def test_what_is_saved_is_read_again(tmp_path: Path) -> None:
    saved = load_chat(POCKET / "describer")
    saved.save(tmp_path)
    read = Chat.open(tmp_path)
    assert (read.template, read.greedy) == (saved.template, saved.greedy)
    assert (read.patch_px, read.side_px, read.image_id) == (32, 224, 2)
    assert read.greedy == Greedy(frozenset({1}))


def test_the_pack_ships_the_chat_of_its_checkpoint(tmp_path: Path) -> None:
    load_chat(POCKET / "describer").save(tmp_path)
    for name in (CHAT_JSON, TOKENIZER_JSON):
        shipped = (POCKET / "describer" / name).read_text(encoding="utf-8")
        assert json.loads(shipped) == json.loads((tmp_path / name).read_text(encoding="utf-8"))


def test_a_template_that_changes_the_prompt_is_refused() -> None:
    processor: Any = load_processor(POCKET / "describer")
    once = "{{ part['text'] }}"
    for other in ("", once * 2, "{{ part['text'] | upper }}"):
        template = "{% for part in messages[0]['content'] %}{% if part['type'] == 'image' %}"
        processor.chat_template = f"{template}<image>{{% else %}}{other}{{% endif %}}{{% endfor %}}"
        with pytest.raises(ValueError, match="places for the prompt, not 1"):
            chat_of(processor, load_generation())


def load_generation() -> Any:
    from transformers import GenerationConfig

    return GenerationConfig()
