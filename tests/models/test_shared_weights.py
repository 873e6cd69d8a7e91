"""A form that a pack ships beside its checkpoint: the same graph, its weights stored once."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.core.errors import MissingPart
from models.__main__ import main
from models.fastvlm.forms import Form, find_form
from models.fastvlm.greedy import Greedy
from models.fastvlm.openvino.runtime import GRAPH, open_decoder
from models.fastvlm.openvino.shared_weights import PIECES_JSON, files_of, is_shared, read_graph
from tests.fakes.fastvlm import NEW_TOKENS, Reference, pictures
from tests.fakes.tiny import SIDE, save_model, save_processor

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("exports_home", "one_thread")]
DECODER = Form("openvino", "decoder", "fp16")


@pytest.fixture(scope="module")
def beside(exports_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint with forms beside it, and the same forms in the cache."""
    checkpoint = tmp_path_factory.mktemp("beside") / "checkpoint"
    save_model(checkpoint, save_processor(checkpoint))
    halve(checkpoint / "model.safetensors")
    command = ["export", "--checkpoint", str(checkpoint), "--precision", "fp16"]
    for more in ([], ["--beside"]):
        assert main([*command, "--image-size", str(SIDE), *more]) == 0
    return checkpoint


def halve(path: Path) -> None:
    """Store the weights in fp16, as a pack does."""
    from safetensors.torch import load_file, save_file

    state = load_file(path)
    halves = {n: t.half() if t.is_floating_point() else t for n, t in state.items()}
    save_file(halves, path, {"format": "pt"})


@pytest.mark.parametrize("form", [DECODER, Form("openvino", "encoder", "fp16", SIDE)])
def test_the_graph_is_the_same_and_the_weights_are_the_checkpoints(
    beside: Path, form: Form
) -> None:
    import openvino as ov

    folder = find_form(beside, form)
    assert is_shared(folder)
    assert folder.is_relative_to(beside)  # before the one in the cache
    shutil.move(folder, folder.with_name("aside"))
    whole = find_form(beside, form)
    shutil.move(folder.with_name("aside"), folder)
    assert not is_shared(whole)
    assert (beside / "model.safetensors").resolve() in [path.resolve() for path in files_of(folder)]
    own_bytes = sum(path.stat().st_size for path in folder.iterdir())
    assert own_bytes - (folder / GRAPH).stat().st_size < (whole / "model.bin").stat().st_size / 4

    def constants(model: Any) -> list[Any]:
        nodes = model.get_ordered_ops()
        return [node.data for node in nodes if node.get_type_name() == "Constant"]

    expected = constants(ov.Core().read_model(whole / GRAPH))
    got = constants(read_graph(folder, GRAPH))
    assert len(got) == len(expected)
    assert all(map(np.array_equal, got, expected))


def test_the_shipped_decoder_gives_the_tokens_of_transformers(pocket: Reference) -> None:
    assert is_shared(find_form(pocket.folder, DECODER))
    for _ in range(2):  # compiled now, then read from the cache
        decoder = open_decoder(pocket.folder, "fp16", pocket.greedy, threads=1)
        for picture in pictures():
            prompt = pocket.prompt(picture)
            written = list(decoder.write(prompt.ids, prompt.features, NEW_TOKENS))
            assert written == pocket.expected(prompt)


@pytest.mark.parametrize("content", ["{}", '{"files": ["gone"], "pieces": []}', "junk"])
def test_damaged_pieces_are_refused_with_the_remedy(
    beside: Path, content: str, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(beside, checkpoint)
    place = checkpoint / DECODER.folder / PIECES_JSON
    size = place.stat().st_size
    place.write_text(content.ljust(size), encoding="utf-8")
    with pytest.raises(MissingPart, match=re.escape(DECODER.command(checkpoint))) as caught:
        open_decoder(checkpoint, "fp16", Greedy(), threads=1)
    assert "\n" not in str(caught.value)


def test_a_form_of_other_weights_is_not_used(beside: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(beside, checkpoint)
    from safetensors.torch import load_file, save_file

    state = load_file(checkpoint / "model.safetensors")
    doubled = {name: tensor * 2 for name, tensor in state.items()}
    save_file(doubled, checkpoint / "model.safetensors", {"format": "pt"})
    with pytest.raises(MissingPart, match=r"export\.json: expected a form of the weights"):
        find_form(checkpoint, DECODER)
