"""Checks the describer's clauses against what was detected; hedges, drops or corrects claims.

It works on text and counts alone, with the lists of `templates/LANGUAGE/understand.json`. Its only
grammar is the phrase around a noun. It must not know models, threads or templates.

A noun is a claim if the language lists it as a thing or a place. A claim is supported by

- an obstacle of that kind, or of a kind that the noun includes ("vehicle" includes cars),
- the scene: its most likely classes, or a class that is listed as similar,
- text that was read.

A number larger than the detector's count is not supported. A smaller number is kept: it may refer
to some of the objects, and the quick answer has counted all of them. A side with no obstacle of
that kind is replaced by the side of the nearest one. A negated or hedged noun is not a claim.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.core.glance import Obstacle, SceneClass
from engine.core.preferences import Language, Unsupported
from engine.language.nouns import Mention
from engine.language.pack import capital
from engine.language.phrases import ParsedClause, phrase_grammar, words

# The most probable scene supports its name; so do other scenes of at least this probability.
ALSO_LIKELY = 0.1


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was detected and read in the described image."""

    obstacles: tuple[Obstacle, ...] = ()
    scene: SceneClass | None = None
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grounded:
    """A clause as it may be spoken (empty if it was dropped), and its nouns without support.
    `reassured` is what a clause said that was dropped because only the alert policy may say so."""

    text: str
    unsupported: tuple[str, ...]
    reassured: str = ""


@dataclass(frozen=True, slots=True)
class _NounClaim:
    """A noun, the phrase around it by word indices, and whether it is supported.

    opening    the first word of the preposition before the phrase; `first` if there is none
    first      the first word of the phrase
    end        one past the noun
    supported  whether anything supports the noun
    counted    whether at least as many were detected as the clause says
    """

    noun: str
    mention: Mention | None  # None for a place
    opening: int
    first: int
    end: int
    supported: bool
    counted: bool


class Grounder:
    """Checks clauses in one language, for a detector that knows `labels`. `how` says what happens
    to claims without support."""

    def __init__(
        self, labels: Sequence[str], language: Language, how: Unsupported = "hedge"
    ) -> None:
        """Raises MissingPart if the language's folder is missing or incomplete."""
        self._grammar = phrase_grammar(labels, language)
        self._lists = self._grammar.lists
        self._vocabulary = self._grammar.vocabulary
        self._wider = {
            self._vocabulary.thing(word): {self._vocabulary.thing(k) for k in kinds.split("|")}
            for word, kinds in self._lists.wider.items()
        }
        self._labels = tuple(labels)
        self.how = how

    def check(self, clause: str, evidence: Evidence) -> Grounded:
        """Check one clause against the evidence. The result is grammatical."""
        reading = ParsedClause(clause, self._grammar)
        claims = self._claims(reading, evidence)
        unsupported = tuple(dict.fromkeys(claim.noun for claim in claims if not claim.supported))
        if self.how == "say":
            return Grounded(clause, unsupported)
        edits = self._side_edits(reading, claims, evidence)
        weak = [c for c in claims if not (c.supported and c.counted)]
        if self.how == "drop":
            cuts = self._cuts(reading, claims, [c for c in weak if not c.supported])
            if cuts is None:
                return Grounded("", unsupported)
            edits = [e for e in edits if not any(cut[0] <= e[0] < cut[1] for cut in cuts)] + cuts
            weak = [c for c in weak if c.supported]  # detected, but fewer than said: only hedged
        text = _edited(clause, edits + self._hedges(reading, claims, weak))
        return Grounded(text, unsupported)

    def adds(self, clause: str, said_before: str) -> bool:
        """Whether `clause` adds anything to `said_before`."""
        known = {word.text for word in words(said_before)} | self._lists.small
        reading = ParsedClause(clause, self._grammar)
        said = {m.thing for m in self._vocabulary.mentions(said_before)}
        said |= {label for label, _, _ in ParsedClause(said_before, self._grammar).places}
        skipped: set[int] = set()
        for mention in reading.mentions:
            if mention.thing in said:
                skipped |= set(reading.words_in(mention.at))
            if mention.side_at is not None:
                skipped |= set(reading.words_in(mention.side_at))
        for label, first, end in reading.places:
            if label in said:
                skipped |= set(range(first, end))
        rest = [w for i, w in enumerate(reading.words) if i not in skipped and w.text.isalnum()]
        return any(word.text not in known for word in rest)

    def thing(self, words: str) -> str | None:
        """The kind of thing that a text or label names ("the bikes": "bicycle"), or None."""
        if self._vocabulary.knows(words):
            return self._vocabulary.thing(words)
        found = self._vocabulary.mentions(words)
        return found[0].thing if found else None

    def is_a(self, label: str, thing: str) -> bool:
        """Whether a detector's label is of that kind."""
        kind = self._vocabulary.thing(label)
        return kind == thing or kind in self._wider.get(thing, ())

    def label(self, thing: str) -> str:
        """A label of that kind; the detector's label if it has one."""
        return self._vocabulary.label(thing)

    def can_see(self, thing: str) -> bool:
        """Whether the detector has a label of that kind."""
        return any(self.is_a(label, thing) for label in self._labels)

    # Finding claims.

    def _claims(self, reading: ParsedClause, evidence: Evidence) -> list[_NounClaim]:
        claims = []
        for mention in reading.mentions:
            at = reading.words_in(mention.at)
            first = reading.phrase_start(at[0])
            if reading.is_no_claim(first):
                continue
            seen = sum(self.is_a(o.label, mention.thing) for o in evidence.obstacles)
            supported = seen > 0 or self._was_read(mention.thing, evidence)
            supported = supported or self._is_scene(mention.thing, evidence.scene)
            said = reading.number(first, at[0])
            opening = reading.opening(first)
            claims.append(
                _NounClaim(
                    mention.thing,
                    mention,
                    opening,
                    first,
                    at[-1] + 1,
                    supported,
                    not supported or said <= max(seen, 1),
                )
            )
        taken = {i for claim in claims for i in range(claim.first, claim.end)}
        for label, at_word, end in reading.places:
            first = reading.phrase_start(at_word)
            if at_word in taken or reading.is_no_claim(first):
                continue
            noun = " ".join(w.text for w in reading.words[at_word:end])
            supported = self._is_scene(label, evidence.scene)
            claims.append(
                _NounClaim(noun, None, reading.opening(first), first, end, supported, True)
            )
        return sorted(claims, key=lambda c: c.first)

    def _is_scene(self, name: str, scene: SceneClass | None) -> bool:
        if scene is None:
            return False
        likely = {scene.label} | {label for label, p in scene.top if p >= ALSO_LIKELY}
        similar = [group for group in self._lists.alike if name in group]
        return name in likely or any(likely & group for group in similar)

    def _was_read(self, thing: str, evidence: Evidence) -> bool:
        """Text that was read supports a sign and everything that the text names."""
        if not evidence.texts:
            return False
        named = {m.thing for text in evidence.texts for m in self._vocabulary.mentions(text)}
        return thing in named or thing == self._vocabulary.thing("sign")

    # Editing the clause.

    def _side_edits(
        self, reading: ParsedClause, claims: list[_NounClaim], evidence: Evidence
    ) -> list[tuple[int, int, str]]:
        """Replace each side with no obstacle of the claim's kind. A side that belongs to several
        nouns is checked against the first of them that was detected."""
        edits: dict[tuple[int, int], str] = {}
        for claim in claims:
            mention = claim.mention
            if mention is None or mention.side_at is None or mention.side_at in edits:
                continue
            of_kind = [o for o in evidence.obstacles if self.is_a(o.label, mention.thing)]
            if not of_kind:
                continue
            text = reading.text[slice(*mention.side_at)]
            if not any(o.side == mention.side for o in of_kind):
                nearest = min(of_kind, key=lambda o: o.distance_m)
                text = self._lists.sides[nearest.side][0]
                if mention.side_at[0] == 0:
                    text = capital(text)
            edits[mention.side_at] = text
        return [(*at, text) for at, text in edits.items() if reading.text[at[0] : at[1]] != text]

    def _hedges(
        self, reading: ParsedClause, claims: list[_NounClaim], weak: list[_NounClaim]
    ) -> list[tuple[int, int, str]]:
        """Insert the hedge before each weak phrase: once for adjacent weak phrases, and once for a
        clause in which every claim is weak, if a weak phrase opens it."""
        if weak and len(weak) == len(claims) and weak[0].opening == 0:
            weak = weak[:1]
        ends = {claim.end for claim in weak}
        edits: list[tuple[int, int, str]] = []
        for at in dict.fromkeys(c.opening for c in weak if c.opening not in ends):
            word = reading.words[at]
            if at == 0:
                first = reading.text[word.start : word.end]
                lowered = (
                    first if len(first) > 1 and first.isupper() else first[:1].lower() + first[1:]
                )
                edits.append((word.start, word.end, f"{capital(self._lists.hedge)} {lowered}"))
            else:
                edits.append((word.start, word.start, f"{self._lists.hedge} "))
        return edits

    def _cuts(
        self, reading: ParsedClause, claims: list[_NounClaim], weak: list[_NounClaim]
    ) -> list[tuple[int, int, str]] | None:
        """The phrases to cut; None if only dropping the whole clause keeps the grammar. A weak
        phrase can be cut after the last verb, if a preposition opens it or "and" joins it to
        another."""
        if weak and len(weak) == len(claims):
            return None
        cuts: list[tuple[int, int, str]] = []
        for claim in weak:
            start = reading.cut_start(claim.opening, claim.first)
            if not start or not reading.may_end(claim.end):
                return None
            cuts.append((reading.words[start - 1].end, reading.words[claim.end - 1].end, ""))
        return cuts


def _edited(text: str, edits: Sequence[tuple[int, int, str]]) -> str:
    for start, end, new in sorted(edits, key=lambda e: (e[0], e[1]), reverse=True):
        text = text[:start] + new + text[end:]
    return " ".join(text.split())
