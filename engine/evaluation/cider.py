"""CIDEr-D: how close a caption is to reference captions.

Pure text and counting. It does no stemming and knows no language.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence

LONGEST_GRAM = 4
SIGMA_WORDS = 6.0  # of the length penalty

Grams = dict[tuple[str, ...], float]


class CiderD:
    """CIDEr-D against the references of a set of images.

    Vedantam, Zitnick, Parikh, "CIDEr: Consensus-based image description evaluation", CVPR 2015,
    with the clipping and the length penalty of its section on CIDEr-D. For n-grams of 1 to 4 words:
    the cosine of tf-idf vectors, the candidate's weights clipped to the reference's, times
    exp(-(difference in words)² / (2 · 6²)); then the mean over n and over the references, times 10.
    Document frequencies count the images of `references`, so a score depends on the whole set, and
    a set of one image scores 0. Words are lower-case runs of letters and digits, which is simpler
    than the original's tokenizer. Scores therefore differ slightly from those of the COCO server.
    """

    def __init__(self, references: Sequence[Sequence[str]]) -> None:
        counted = [[_grams(text) for text in texts] for texts in references]
        self._frequency: Counter[tuple[str, ...]] = Counter()
        for several in counted:
            self._frequency.update({g for grams in several for counts in grams for g in counts})
        self._log_images = math.log(max(1, len(references)))
        self._references = [
            [(grams[0].total(), self._weigh(grams)) for grams in several] for several in counted
        ]

    def score(self, image: int, text: str) -> float:
        """The score of `text` for the image with this index, in [0, 10]; 10 is an exact match."""
        said = _grams(text)
        candidate, words = self._weigh(said), said[0].total()
        total = 0.0
        for length, weights in self._references[image]:
            cosines = map(_clipped_cosine, candidate, weights)
            penalty = math.exp(-((words - length) ** 2) / (2 * SIGMA_WORDS**2))
            total += penalty * sum(cosines) / LONGEST_GRAM
        return 10.0 * total / max(1, len(self._references[image]))

    def _weigh(self, grams: list[Counter[tuple[str, ...]]]) -> list[tuple[Grams, float]]:
        """The tf-idf vector and its norm for each length of n-grams."""
        vectors = [
            {
                g: count * (self._log_images - math.log(max(1, self._frequency[g])))
                for g, count in counts.items()
            }
            for counts in grams
        ]
        return [(vector, math.hypot(*vector.values())) for vector in vectors]


def cider_d(candidates: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """Each candidate's `CiderD` against its own references."""
    scorer = CiderD(references)
    pairs = zip(candidates, references, strict=True)
    return [scorer.score(image, text) for image, (text, _) in enumerate(pairs)]


def _grams(text: str) -> list[Counter[tuple[str, ...]]]:
    """The counts of all n-grams, for each length from 1."""
    words = re.findall(r"[^\W_]+", text.lower())
    return [
        Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))
        for n in range(1, LONGEST_GRAM + 1)
    ]


def _clipped_cosine(candidate: tuple[Grams, float], reference: tuple[Grams, float]) -> float:
    (said, said_norm), (known, known_norm) = candidate, reference
    norm = said_norm * known_norm
    shared = sum(min(v, known[g]) * known[g] for g, v in said.items() if g in known)
    return shared / norm if norm > 0.0 else 0.0
