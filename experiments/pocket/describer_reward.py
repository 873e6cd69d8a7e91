"""The reward of the pocket describer's own sentences, with which it is tuned.

Self-critical training (Rennie et al., CVPR 2017): sentences that the model samples are reinforced
by how much better they score than the other samples of the same image (the baseline of Luo, 2020,
arXiv 2003.09971).
"""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import torch
from torch import Tensor

from engine.evaluation.cider import CiderD
from experiments.pocket.captions import objects
from experiments.pocket.data import LabelledImage
from experiments.pocket.describer_model import embedded
from experiments.pocket.mentions import KINDS, VOCABULARY, named

DRAWS = 5  # sentences sampled for each image
END = " endofsentence"  # counts as a word; otherwise endings such as "with a" would be rewarded
INVENTED = 0.5  # penalty for each object that is not there, in CIDEr-D
UNFINISHED = -0.5  # reward of a sentence that does not end in time

_scorer: "RewardScorer | None" = None  # in the helper processes


class RewardScorer:
    """Rewards sentences against the human captions and labels of `records`, by index."""

    def __init__(self, records: Sequence[LabelledImage]) -> None:
        self._cider = CiderD([[f"{text}{END}" for text in r.captions] for r in records])
        self._true = [
            {VOCABULARY.thing(k) for k in objects(r) if k in KINDS}.union(*map(named, r.captions))
            for r in records
        ]

    def __call__(self, picture: int, text: str | None) -> float:
        """CIDEr-D less a penalty for each invented object; `text` is None if it is unfinished."""
        if text is None:
            return UNFINISHED
        invented = len(named(text) - self._true[picture])
        return self._cider.score(picture, f"{text}{END}") - INVENTED * invented


def _remember(records: Sequence[LabelledImage]) -> None:
    global _scorer
    _scorer = RewardScorer(records)


def _score(pairs: Sequence[tuple[int, str | None]]) -> list[float]:
    assert _scorer is not None
    return [_scorer(picture, text) for picture, text in pairs]


class Reward:
    """A `RewardScorer` in helper processes, as a context manager."""

    def __init__(self, records: Sequence[LabelledImage], helpers: int) -> None:
        self._helpers = helpers
        self._pool = ProcessPoolExecutor(helpers, get_context("spawn"), _remember, (records,))

    def __enter__(self) -> "Reward":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def __call__(self, pairs: Sequence[tuple[int, str | None]]) -> list[float]:
        """The reward of each (image, text)."""
        parts = [pairs[at :: self._helpers] for at in range(self._helpers)]
        rewards = [0.0] * len(pairs)
        for at, found in enumerate(self._pool.map(_score, parts)):
            rewards[at :: self._helpers] = found
        return rewards


def sample(model: Any, prefix: list[int], features: Tensor, longest: int, end: int) -> Tensor:
    """Sample `DRAWS` answers for each image of `features` [B, 49, 1280]: ids [B * DRAWS,
    longest], padded with `end`. The draws of an image are adjacent.
    """
    ids = torch.tensor(prefix, device=features.device).expand(len(features), -1)
    with torch.no_grad():
        rows = embedded(model, ids, features)
        found = model.model.language_model(inputs_embeds=rows, use_cache=True)
        cache = found.past_key_values
        cache.batch_repeat_interleave(DRAWS)
        hidden = found.last_hidden_state[:, -1].repeat_interleave(DRAWS, 0)
        drawn = []
        done = torch.zeros(len(hidden), dtype=torch.bool, device=features.device)
        for _ in range(longest):
            logits = model.lm_head(hidden).float()
            logits[:, model.config.image_token_index] = -torch.inf
            token = torch.multinomial(torch.softmax(logits, -1), 1)[:, 0].masked_fill(done, end)
            done |= token == end
            drawn.append(token)
            found = model.model.language_model(
                inputs_embeds=model.get_input_embeddings()(token[:, None]),
                past_key_values=cache,
                use_cache=True,
            )
            hidden = found.last_hidden_state[:, -1]
    return torch.stack(drawn, 1)
