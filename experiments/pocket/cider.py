"""CIDEr-D of captions (Vedantam et al. 2015), as the COCO caption evaluation defines it.

Words are split by a simple rule (lower case, letters and digits), not by the Java tokenizer of the
COCO tools, so that figures differ a little from theirs.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

LONGEST = 4
SIGMA = 6.0  # of the penalty on a difference in length, in words
Grams = Counter[tuple[str, ...]]


def words(text: str) -> list[str]:
    """Lower-case words of a sentence."""
    return re.findall(r"[a-z0-9]+(?:['-][a-z0-9]+)*", text.lower())


def grams(text: str) -> Grams:
    """Counts of all word sequences of one to four words."""
    said = words(text)
    return Counter(
        tuple(said[i : i + n]) for n in range(1, LONGEST + 1) for i in range(len(said) - n + 1)
    )


def cider_d(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> NDArray[np.float64]:
    """Score of each candidate, [N], on the scale on which a good captioner has a mean near 1.

    Document frequencies come from `references`, so a score depends on the whole set.
    """
    counted = [[grams(text) for text in several] for several in references]
    frequency: Grams = Counter()
    for several in counted:
        frequency.update(set().union(*several))
    documents = math.log(max(len(references), 2))

    def weigh(counts: Grams) -> tuple[list[dict[tuple[str, ...], float]], list[float], int]:
        vectors: list[dict[tuple[str, ...], float]] = [{} for _ in range(LONGEST)]
        for gram, count in counts.items():
            rarity = documents - math.log(max(1, frequency[gram]))
            vectors[len(gram) - 1][gram] = count * rarity
        norms = [math.sqrt(sum(v * v for v in vector.values())) for vector in vectors]
        return vectors, norms, sum(c for gram, c in counts.items() if len(gram) == 1)

    scores = []
    for text, several in zip(candidates, counted, strict=True):
        mine, my_norms, my_length = weigh(grams(text))
        total = 0.0
        for reference in several:
            theirs, norms, length = weigh(reference)
            penalty = math.exp(-((my_length - length) ** 2) / (2 * SIGMA**2))
            for n in range(LONGEST):
                if my_norms[n] and norms[n]:
                    shared = sum(
                        min(value, theirs[n][gram]) * theirs[n][gram]
                        for gram, value in mine[n].items()
                        if gram in theirs[n]
                    )
                    total += penalty * shared / (my_norms[n] * norms[n])
        scores.append(10 * total / (LONGEST * max(1, len(several))))
    return np.array(scores)
