"""Greedy decoding: the next token is the one with the largest logit, after the repetition rules of
the checkpoint's generation settings. Knows no runtime.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Greedy:
    """Chooses the same tokens as transformers' `generate(do_sample=False)` with the same settings.

    `ends`: the end-of-sequence tokens. `repetition_penalty`: above 1, tokens that were read or
    generated before are less likely (Keskar et al. 2019, CTRL). `no_repeat_ngram`: no sequence of
    this many tokens occurs twice; 0 turns the rule off.
    """

    ends: frozenset[int] = frozenset()
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0

    @classmethod
    def of(cls, config: Any) -> "Greedy":
        """From transformers' GenerationConfig, in which any value may be None."""
        ends = config.eos_token_id
        return cls(
            frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends]),
            float(config.repetition_penalty or 1.0),
            int(config.no_repeat_ngram_size or 0),
        )

    @property
    def plain(self) -> bool:
        """Whether no repetition rule applies, so that the device can take the argmax itself."""
        return self.repetition_penalty == 1.0 and not self.no_repeat_ngram

    def choose(self, logits: NDArray[np.float32], ids: Sequence[int]) -> int:
        """The token after `ids` (prompt and generated tokens), given the logits (vocabulary,)."""
        if self.plain:
            return int(logits.argmax())
        scores = logits.copy()
        if self.repetition_penalty != 1.0:
            seen = np.unique(np.asarray(ids, np.int64))
            before = scores[seen]
            penalty = np.float32(self.repetition_penalty)
            scores[seen] = np.where(before < 0, before * penalty, before / penalty)
        scores[list(self._banned(ids))] = -np.inf
        return int(scores.argmax())

    def _banned(self, ids: Sequence[int]) -> Iterator[int]:
        """Tokens that would complete an n-gram that occurs in `ids` already."""
        size = self.no_repeat_ngram
        if not size or len(ids) < size:
            return
        last = list(ids[len(ids) - size + 1 :])
        for start in range(len(ids) - size + 1):
            if list(ids[start : start + size - 1]) == last:
                yield ids[start + size - 1]
