"""What an OpenVINO decoder keeps between prompts: the cache of the prefix, but not the mapped
file."""

import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from models.fastvlm.export.openvino import export_decoder
from models.fastvlm.export.writer import facts_of, write_form
from models.fastvlm.forms import Form, read_facts
from models.fastvlm.openvino import runtime
from models.fastvlm.openvino.runtime import (
    PROMPT_BLOCK,
    Arithmetic,
    OpenVinoDecoder,
    compiled,
    open_decoder,
)
from models.runtime.compiled import compiled_home
from tests.fakes.fastvlm import NEW_TOKENS, Prompt, Reference, pictures

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("exports_home", "one_thread")]


class RecordingRequest:
    """An infer request that records how many tokens each call reads."""

    def __init__(self, graph: Any) -> None:
        self._request = graph.create_infer_request()
        self.lengths: list[int] = []

    def infer(self, inputs: dict[str, Any]) -> None:
        self.lengths.append(inputs["ids"].shape[1])
        self._request.infer(inputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)


def exported(pocket: Reference, precision: str) -> Path:
    """The folder of the shipped describer's decoder, newly exported."""
    write = partial(export_decoder, pocket.model, precision)
    form = Form("openvino", "decoder", precision)
    return write_form(pocket.folder, form, facts_of(pocket.model), write)


def test_the_prefix_before_the_image_is_read_once(pocket: Reference) -> None:
    folder = exported(pocket, "fp32")
    request = RecordingRequest(compiled(folder, "fp32", "f32", threads=1))
    decoder = OpenVinoDecoder(
        SimpleNamespace(create_infer_request=lambda: request),
        "fp32",
        read_facts(folder),
        pocket.greedy,
        Arithmetic("f32", PROMPT_BLOCK),
    )
    text = "What is ahead, and what is near? " * 3
    ids, pixels, features = pocket.prompt(pictures()[3], text)
    prefix = ids.index(pocket.image_id)
    rest = ids[prefix:]
    assert prefix > 1
    assert len(rest) > PROMPT_BLOCK
    tail = len(rest) - PROMPT_BLOCK
    for prompt_ids, blocks in (
        (ids, [prefix, PROMPT_BLOCK, tail]),
        (ids, [PROMPT_BLOCK, tail]),
        ([9, *rest], [1, PROMPT_BLOCK, tail]),  # another prefix
        (rest, [PROMPT_BLOCK, tail]),  # no prefix
        (ids, [prefix, PROMPT_BLOCK, tail]),
        (ids[:-tail], [PROMPT_BLOCK]),
    ):
        request.lengths.clear()
        answer = list(decoder.write(prompt_ids, features, NEW_TOKENS))
        assert answer == pocket.expected(Prompt(prompt_ids, pixels, features))
        assert request.lengths == [*blocks, *[1] * (len(answer) - 1)]


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("is_kept", [True, False])
def test_the_pages_of_packed_weights_are_released(
    pocket: Reference, is_kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the file that is mapped: the one in the cache, or, for a large network, its own."""
    folder = exported(pocket, "int8")
    weights_bytes = (folder / "model.bin").stat().st_size
    monkeypatch.setattr(runtime, "KEPT_BYTES", weights_bytes + 1 if is_kept else 0)
    decoder = open_decoder(pocket.folder, "int8", pocket.greedy, threads=1)
    place = f"{(compiled_home() if is_kept else folder).resolve()}/"
    maps = Path("/proc/self/smaps").read_text(encoding="utf-8").split(place)
    assert len(maps) > 1
    resident_kib = sum(int(part.split("Rss:")[1].split()[0]) for part in maps[1:])
    assert resident_kib << 10 < weights_bytes / 4
    prompt = pocket.prompt(pictures()[3])
    assert next(decoder.write(prompt.ids, prompt.features, 1))  # released pages can be read again
