"""The chosen token, against transformers' logits processors with the same settings."""

import numpy as np
import pytest

from models.fastvlm.greedy import Greedy

pytestmark = pytest.mark.weights
VOCABULARY = 12  # small, so that n-grams repeat


def by_transformers(greedy: Greedy, logits: np.ndarray, ids: list[int]) -> int:
    import torch
    from transformers import (
        LogitsProcessorList,
        NoRepeatNGramLogitsProcessor,
        RepetitionPenaltyLogitsProcessor,
    )

    chain = LogitsProcessorList()
    if greedy.repetition_penalty != 1.0:
        chain.append(RepetitionPenaltyLogitsProcessor(greedy.repetition_penalty))
    if greedy.no_repeat_ngram:
        chain.append(NoRepeatNGramLogitsProcessor(greedy.no_repeat_ngram))
    scores = chain(torch.tensor([ids]), torch.tensor(logits)[None])
    return int(scores[0].argmax())


@pytest.mark.parametrize("penalty", [1.0, 1.3, 0.7])
@pytest.mark.parametrize("ngram", [0, 1, 2, 3])
def test_it_chooses_as_transformers_does(penalty: float, ngram: int) -> None:
    greedy = Greedy(repetition_penalty=penalty, no_repeat_ngram=ngram)
    random = np.random.default_rng(5)
    changed = 0
    for length in range(1, 40):
        # never the last token, so that one remains allowed when unigrams must not repeat
        ids = random.integers(0, VOCABULARY - 1, length).tolist()
        logits = random.normal(size=VOCABULARY).astype(np.float32)
        before = logits.copy()
        chosen = greedy.choose(logits, ids)
        assert chosen == by_transformers(greedy, logits, ids)
        assert np.array_equal(logits, before)
        changed += chosen != int(logits.argmax())
    assert (changed > 0) != greedy.plain


def test_the_first_of_equal_logits_is_chosen() -> None:
    assert Greedy().choose(np.array([0, 2, 2, 1], np.float32), [0]) == 1


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, Greedy()),
        ({"eos_token_id": 7}, Greedy(frozenset({7}))),
        (
            {"eos_token_id": [7, 8], "repetition_penalty": 1.1, "no_repeat_ngram_size": 3},
            Greedy(frozenset({7, 8}), 1.1, 3),
        ),
    ],
)
def test_settings_are_read(settings: dict[str, object], expected: Greedy) -> None:
    from transformers import GenerationConfig

    assert Greedy.of(GenerationConfig(**settings)) == expected
    assert expected.plain == (expected.repetition_penalty == 1.0)
