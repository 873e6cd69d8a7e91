"""A form that a pack ships beside its checkpoint: the same graph, its weights stored once."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.core.errors import MissingPart
from models.__main__ import main
from models.build.describer import build_describer
from models.fastvlm.forms import Form, find_form
from models.fastvlm.openvino.runtime import open_decoder, stored_graph
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
    assert main(["export", "--checkpoint", str(checkpoint), "--precision", "fp16"]) == 0
    build_describer(checkpoint)
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
    folder = find_form(beside, form)
    assert folder.is_relative_to(beside)  # before the one in the cache
    folder.rename(folder.with_name("aside"))
    whole = find_form(beside, form)
    folder.with_name("aside").rename(folder)
    shared = stored_graph(folder)
    assert shared.store is not None
    assert shared.store.resolve() == (beside / "model.safetensors").resolve()
    own_bytes = (folder / "model.bin").stat().st_size
    assert own_bytes < (whole / "model.bin").stat().st_size / 2

    def constants(model: Any) -> list[Any]:
        nodes = model.get_ordered_ops()
        return [node.data for node in nodes if node.get_type_name() == "Constant"]

    got, expected = constants(shared.read()), constants(stored_graph(whole).read())
    assert len(got) == len(expected)
    assert all(map(np.array_equal, got, expected))


def test_the_shipped_decoder_gives_the_tokens_of_transformers(pocket: Reference) -> None:
    assert stored_graph(find_form(pocket.folder, DECODER)).store is not None
    for _ in range(2):  # compiled now, then read from the cache
        decoder = open_decoder(pocket.folder, "fp16", pocket.greedy, threads=1)
        for picture in pictures():
            prompt = pocket.prompt(picture)
            written = list(decoder.write(prompt.ids, prompt.features, NEW_TOKENS))
            assert written == pocket.expected(prompt)


def test_a_form_of_other_weights_is_not_used(beside: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(beside, checkpoint)
    from safetensors.torch import load_file, save_file

    state = load_file(checkpoint / "model.safetensors")
    doubled = {name: tensor * 2 for name, tensor in state.items()}
    save_file(doubled, checkpoint / "model.safetensors", {"format": "pt"})
    with pytest.raises(MissingPart, match=r"export\.json: expected a form of the weights"):
        find_form(checkpoint, DECODER)
