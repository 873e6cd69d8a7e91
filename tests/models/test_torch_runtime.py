"""FastVLM in torch, uncaptured, against transformers' model with the same weights."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.core.errors import DescriberFailed, MissingPart, PromptTooLong
from models.fastvlm.checkpoint import load_model
from models.fastvlm.greedy import Greedy
from models.fastvlm.torch.fusing import fused
from models.fastvlm.torch.runtime import TorchDecoder, TorchEncoder, open_decoder, open_encoder

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("one_thread")]
POCKET = Path(__file__).parents[2] / "models" / "pocket" / "describer"
SIDE_PX, LIMIT = 224, 12
GREEDY = Greedy()


def load() -> Any:
    """The shipped network with a random decoder and no end token: the trained one would answer a
    random prompt with one repeated token."""
    net = load_model(POCKET, torch.float32)
    random = torch.Generator().manual_seed(0)
    for tensor in net.model.language_model.parameters():
        if tensor.dim() == 2:
            torch.nn.init.normal_(tensor, std=0.08, generator=random)
    net.generation_config.eos_token_id = None
    return net


@pytest.fixture(scope="module")
def model() -> Any:
    """transformers' model, unchanged."""
    return load()


@pytest.fixture(scope="module")
def fused_model() -> Any:
    """The model that `encoder` fuses in place."""
    return load()


@pytest.fixture(scope="module")
def encoder(fused_model: Any) -> TorchEncoder:
    return open_encoder(fused_model, "cpu", "fp32", SIDE_PX)


@pytest.fixture(scope="module", autouse=True)
def replays() -> Iterator[None]:
    """Functions that would be captured into CUDA graphs are called instead."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TorchDecoder, "capture_graph", lambda self, work: work)
        yield


@pytest.fixture(scope="module", params=[False, True])
def decoder(request: pytest.FixtureRequest) -> TorchDecoder:
    """Token by token as on a CPU, and in bursts ahead of the caller as on a GPU."""
    return open_decoder(load(), "cpu", "fp32", GREEDY, limit=LIMIT, capture=request.param)


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    random = np.random.default_rng(3)
    return random.random((1, 3, SIDE_PX, SIDE_PX), np.float32)


def prompt(length: int, seed: int = 0) -> list[int]:
    """A random prompt of `length` tokens, 49 of them image tokens."""
    words = np.random.default_rng(seed).integers(3, 4096, length - 49).tolist()
    return [*words[:5], *[2] * 49, *words[5:]]


def by_transformers(
    model: Any, ids: list[int], pixels: np.ndarray, limit: int = LIMIT, **settings: Any
) -> list[int]:
    prompt_ids = torch.tensor([ids])
    written = model.generate(
        input_ids=prompt_ids,
        attention_mask=torch.ones_like(prompt_ids),
        pixel_values=torch.from_numpy(pixels),
        do_sample=False,
        max_new_tokens=limit,
        **settings,
    )
    tokens: list[int] = written[0, len(ids) :].tolist()
    return tokens


def test_the_fused_encoder_gives_the_same_features(
    model: Any, fused_model: Any, encoder: TorchEncoder, pixels: np.ndarray
) -> None:
    with torch.no_grad():
        expected = model.model.get_image_features(torch.from_numpy(pixels)).pooler_output[0]
    got = encoder.encode(pixels)
    assert got.shape == (49, 256)
    assert torch.allclose(got, expected, rtol=1e-3, atol=1e-3 * float(expected.std()))
    kinds = {type(module).__name__ for module in fused_model.model.vision_tower.modules()}
    assert not any("BatchNorm" in kind for kind in kinds)
    dark = encoder.encode(np.zeros_like(pixels))
    assert not torch.allclose(dark, got)  # `got` is not overwritten
    assert torch.allclose(got, expected, rtol=1e-3, atol=1e-3 * float(expected.std()))


@pytest.mark.parametrize("merged", [False, True])
def test_branches_are_merged_and_norms_folded(merged: bool) -> None:
    """FastViTHD's blocks, in training form and as Apple publishes them."""
    import timm

    torch.manual_seed(0)
    sizes: Any = {"layers": (1, 1, 1, 1, 1), "embed_dims": (8, 8, 16, 32, 32)}
    tower: Any = timm.create_model("fastvit_mci3", num_classes=0, inference_mode=merged, **sizes)
    for name, tensor in [*tower.named_parameters(), *tower.named_buffers()]:
        if tensor.dim() == 4:
            torch.nn.init.kaiming_normal_(tensor)
        elif name.endswith(("running_mean", "running_var", "bias")):
            torch.nn.init.uniform_(tensor, 0.5, 1.5)
    picture = torch.rand(1, 3, 128, 128)
    with torch.no_grad():
        expected = tower.eval().forward_features(picture)
        got = fused(tower, 128).forward_features(picture)
    assert expected.std() > 1e-3
    assert torch.allclose(got, expected, rtol=1e-3, atol=1e-3 * float(expected.std()))
    names = [type(module).__name__ for module in tower.modules()]
    assert not any("BatchNorm" in name for name in names)
    single: Any = timm.create_model("fastvit_mci3", num_classes=0, inference_mode=True, **sizes)
    assert names.count("Conv2d") == sum(
        isinstance(module, torch.nn.Conv2d) for module in single.modules()
    )


@pytest.mark.parametrize("length", [60, 63, 64, 65, 116, 117, 127, 128, 129])
def test_it_gives_the_tokens_of_generate(
    model: Any, encoder: TorchEncoder, decoder: TorchDecoder, pixels: np.ndarray, length: int
) -> None:
    """With lengths around the padded ones, one prompt after the other."""
    ids = prompt(length, seed=length)
    expected = by_transformers(model, ids, pixels)
    assert list(decoder.write(ids, encoder.encode(pixels), LIMIT)) == expected
    assert len(set(expected)) > 2


def test_a_prompt_does_not_affect_the_next(
    model: Any, encoder: TorchEncoder, decoder: TorchDecoder, pixels: np.ndarray
) -> None:
    features = encoder.encode(pixels)
    long, short = prompt(130, 1), prompt(70, 2)
    alone = list(decoder.write(short, features, LIMIT))
    assert alone == by_transformers(model, short, pixels)
    broken = decoder.write(long, features * float("nan"), LIMIT)  # as after an overflow
    next(broken)
    broken.close()  # type: ignore[attr-defined]
    assert list(decoder.write(short, features, LIMIT)) == alone
    fresh = open_decoder(load(), "cpu", "fp32", GREEDY, limit=LIMIT, capture=True)
    list(fresh.write(long, features, LIMIT))
    assert list(fresh.write(short, features, LIMIT)) == alone  # a length that is new to it


def test_a_closed_answer_does_not_affect_the_next(
    encoder: TorchEncoder, decoder: TorchDecoder, pixels: np.ndarray
) -> None:
    features = encoder.encode(pixels)
    ids = prompt(64)
    whole = list(decoder.write(ids, features, LIMIT))
    for taken in range(1, 7):
        some: Any = decoder.write(ids, features, LIMIT)
        assert [next(some) for _ in range(taken)] == whole[:taken]
        some.close()
    assert list(decoder.write(ids, features, LIMIT)) == whole


@pytest.mark.parametrize("limit", [1, 2, 4, 5, 6])
def test_the_limit_is_kept(
    encoder: TorchEncoder, decoder: TorchDecoder, pixels: np.ndarray, limit: int
) -> None:
    features = encoder.encode(pixels)
    ids = prompt(64)
    assert (
        list(decoder.write(ids, features, limit))
        == list(decoder.write(ids, features, LIMIT))[:limit]
    )


def test_it_stops_after_an_end_token(encoder: TorchEncoder, pixels: np.ndarray) -> None:
    features, ids = encoder.encode(pixels), prompt(64)
    net = load()
    whole = list(
        open_decoder(net, "cpu", "fp32", Greedy(), limit=LIMIT).write(ids, features, LIMIT)
    )
    for capture in (False, True):
        greedy = Greedy(frozenset({whole[4]}))
        decoder = open_decoder(net, "cpu", "fp32", greedy, limit=LIMIT, capture=capture)
        assert list(decoder.write(ids, features, LIMIT)) == whole[: whole.index(whole[4]) + 1]


def test_generation_settings_are_followed(
    model: Any, encoder: TorchEncoder, pixels: np.ndarray
) -> None:
    greedy = Greedy(repetition_penalty=1.5, no_repeat_ngram=2)
    decoder = open_decoder(load(), "cpu", "fp32", greedy, limit=LIMIT)
    features = encoder.encode(pixels)
    for length in (64, 70, 100):
        ids = prompt(length)
        rules: dict[str, Any] = {"repetition_penalty": 1.5, "no_repeat_ngram_size": 2}
        expected = by_transformers(model, ids, pixels, **rules)
        assert list(decoder.write(ids, features, LIMIT)) == expected
    assert expected != by_transformers(model, ids, pixels)


def test_inputs_that_do_not_fit_are_refused(
    encoder: TorchEncoder, decoder: TorchDecoder, pixels: np.ndarray
) -> None:
    features = encoder.encode(pixels)
    assert decoder.longest == 512  # the checkpoint's context
    assert len(list(decoder.write(prompt(508), features, 4))) == 4
    with pytest.raises(PromptTooLong, match="prompt has 509 tokens"):
        decoder.write(prompt(509), features, 4)
    with pytest.raises(DescriberFailed, match="49 image tokens, but the image has 48"):
        decoder.write(prompt(64), features[1:], 4)


def test_features_may_be_a_numpy_array(
    encoder: TorchEncoder, decoder: TorchDecoder, pixels: np.ndarray
) -> None:
    features, ids = encoder.encode(pixels), prompt(64)
    expected = list(decoder.write(ids, features, LIMIT))
    assert list(decoder.write(ids, features.numpy(), LIMIT)) == expected


def test_captures_are_timed_and_done_once(
    encoder: TorchEncoder, pixels: np.ndarray, model: Any
) -> None:
    """The first prompt also captures the graphs for slightly longer ones."""
    features = encoder.encode(pixels)
    decoder = open_decoder(load(), "cpu", "fp32", GREEDY, limit=LIMIT, capture=True)
    assert decoder.start_s == 0
    list(decoder.write(prompt(60), features, LIMIT))
    before = decoder.start_s
    assert before > 0
    for length in (55, 64, 65, 128, 190):
        ids = prompt(length)
        expected = by_transformers(model, ids, pixels)
        assert list(decoder.write(ids, features, LIMIT)) == expected
    assert decoder.start_s == before
    list(decoder.write(prompt(200), features, LIMIT))
    assert decoder.start_s > before
    assert decoder.memory()["resident"] > 2**20


def test_weights_are_not_held_twice(pixels: np.ndarray) -> None:
    """The model shares the concatenated weights, and still gives the same tokens."""
    net = load()
    open_decoder(net, "cpu", "fp32", GREEDY, limit=LIMIT)
    layer = net.model.language_model.layers[0]
    storage = layer.self_attn.q_proj.weight.untyped_storage().data_ptr()
    assert layer.self_attn.v_proj.weight.untyped_storage().data_ptr() == storage
    ids = prompt(64)
    assert by_transformers(net, ids, pixels) == by_transformers(load(), ids, pixels)


@pytest.mark.parametrize("precision", ["int8", "q4f16"])
def test_a_precision_that_torch_lacks_is_refused(precision: str) -> None:
    with pytest.raises(MissingPart, match=f"precision={precision}: torch has fp32, fp16, bf16"):
        open_encoder(None, "cpu", precision, SIDE_PX)


def test_int4_needs_a_gpu() -> None:
    with pytest.raises(
        MissingPart, match="precision=int4: in torch it needs Triton and a graphics"
    ):
        open_decoder(load(), "cpu", "int4", GREEDY, limit=LIMIT)


def test_bf16_begins_with_the_same_tokens(
    model: Any, encoder: TorchEncoder, pixels: np.ndarray
) -> None:
    decoder = open_decoder(load(), "cpu", "bf16", GREEDY, limit=LIMIT)
    ids = prompt(64)
    got = list(decoder.write(ids, encoder.encode(pixels), LIMIT))
    assert got[:2] == by_transformers(model, ids, pixels)[:2]
