"""What an OpenVINO decoder keeps between questions, and what it does not."""

import sys
from pathlib import Path
from typing import Any

import pytest

from models.fastvlm.forms import Form, find_form
from models.fastvlm.openvino.runtime import PROMPT_BLOCK
from models.packs import POCKET
from tests.models.test_openvino_runtime import LIMIT, Checkpoint, _home, pictures

__all__ = ["_home"]  # a fixture


@pytest.fixture(scope="module")
def pocket() -> Checkpoint:
    return Checkpoint(POCKET / "describer", 224, ("fp32", "int8"))


def test_what_stands_before_a_picture_is_read_once(
    pocket: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = pocket.decoder("fp32")
    monkeypatch.setattr(decoder, "prompt_block", PROMPT_BLOCK)
    read: list[int] = []  # how many tokens at once
    step = decoder._step

    def noting(new: list[int], *rest: Any) -> Any:
        read.append(len(new))
        return step(new, *rest)

    monkeypatch.setattr(decoder, "_step", noting)
    ids, pixels, features = pocket.prompt(pictures()[3], "What is ahead, and what is near? " * 3)
    head = ids.index(pocket.model.config.image_token_id)
    rest = ids[head:]
    assert head > 1
    assert len(rest) > PROMPT_BLOCK
    tail = len(rest) - PROMPT_BLOCK
    for asked, blocks in (
        (ids, [head, PROMPT_BLOCK, tail]),
        (ids, [PROMPT_BLOCK, tail]),
        ([9, *rest], [1, PROMPT_BLOCK, tail]),  # another beginning
        (rest, [PROMPT_BLOCK, tail]),  # none
        (ids, [head, PROMPT_BLOCK, tail]),
        (ids[:-tail], [PROMPT_BLOCK]),
    ):
        read.clear()
        prompt = asked, pixels, features
        answer = list(decoder.write(asked, features, LIMIT))
        assert answer == pocket.expected(prompt)
        assert read == [*blocks, *[1] * (len(answer) - 1)]


@pytest.mark.skipif(sys.platform != "linux", reason="reads the system's own count")
def test_weights_that_were_packed_are_not_held_twice(pocket: Checkpoint) -> None:
    decoder = pocket.decoder("int8")
    file = find_form(pocket.folder, Form("openvino", "decoder", "int8")) / "model.bin"
    held = Path("/proc/self/smaps").read_text(encoding="utf-8").split(str(file))
    resident_kib = sum(int(part.split("Rss:")[1].split()[0]) for part in held[1:])
    assert len(held) > 1  # it is mapped
    assert resident_kib << 10 < file.stat().st_size / 4
    ids, _, features = pocket.prompt(pictures()[3])
    assert next(decoder.write(ids, features, 1))  # what was let go of can be read again
