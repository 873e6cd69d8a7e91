"""Turns a stream of text into clauses that can be spoken, each as soon as it is sure to be whole.

Pure text: knows nothing of tokens, models or voices. By small closed word lists for English; in any
other language only sentences are told apart, and what may not end one is read in its `understand.json`.

Rules. A sentence end always closes a clause. A comma does so only where both sides can stand
alone: the left has a verb ("A man is walking") and the right opens with a conjunction ("and a car
..."), so that lists ("a man, a woman and a dog") and openings ("On the left, ...") stay in one
piece. Every clause is given a capital and a period. When the text broke off, what dangles is
dropped: down to the last comma after a verb, or, where nothing could be said otherwise, down to the
last word that may end a phrase ("A man is standing on a" -> "A man is standing.").
"""

import re
from collections.abc import Generator, Iterator
from functools import lru_cache

from engine.core.preferences import Language
from engine.language.pack import understood

# a mark, then blank: so "3.5", "10:30" and "1,000" are no boundaries
_SENTENCE_END = re.compile(r"[.!?]+[\"')\]]*\s+|\s*\n+\s*")
_BREAK = re.compile(r"[,;:]\s+")
_MARKUP = re.compile(r"[*#_`]+")
_ABBREVIATION = re.compile(
    r"(?:^|\s)(?:mr|mrs|ms|dr|st|vs|etc|e\.g|i\.e|no|approx|\d+|[a-z])$", re.I
)
_TRIM = " \t\r\n.,;:!?-\u2013\u2014\"'([{"

_OPENS_CLAUSE = {"and", "but", "while", "there", "so", "whereas"}
_VERBS = {
    "is", "are", "was", "were", "has", "have", "can", "appears", "appear", "seems", "seem",
    "shows", "show", "depicts", "features", "contains", "includes", "stands", "stand", "sits",
    "sit", "walks", "walk", "runs", "run", "rides", "ride", "looks", "look", "holds", "hold",
    "wears", "wear", "lies", "lie", "leads", "crosses", "drives", "waits", "plays", "play",
}  # fmt: skip
_NOT_VERBS = {
    "building", "ceiling", "railing", "painting", "crossing", "clothing", "evening", "morning",
    "thing", "something", "anything", "nothing", "everything", "string", "awning", "wing", "king",
    "ring", "landing", "parking", "spring", "during", "lighting", "siding", "bring",
}  # fmt: skip
_CANNOT_END = {
    # articles and determiners
    "a", "an", "the", "this", "that", "these", "those", "his", "her", "its", "their", "my", "your",
    "our", "some", "any", "each", "every", "another", "other", "no", "what", "which", "who",
    # prepositions and conjunctions
    "in", "on", "at", "of", "to", "by", "with", "from", "for", "into", "onto", "over", "under",
    "near", "beside", "behind", "between", "among", "through", "across", "along", "around",
    "against", "toward", "towards", "next", "front", "down", "up", "off", "out", "above", "below",
    "inside", "outside", "within", "without", "past", "after", "before", "as", "like", "than",
    "and", "or", "but", "while", "where", "when", "because", "if", "so", "both", "either", "upon",
    # what needs a complement
    "is", "are", "was", "were", "be", "been", "being", "has", "have", "had", "can", "could", "will",
    "would", "there", "appears", "appear", "seems", "seem", "very", "several", "many", "few",
    "wearing", "holding", "carrying", "using", "one", "two", "three", "four", "five",
    # adjectives that wait for their noun
    "red", "blue", "green", "yellow", "black", "white", "brown", "gray", "grey", "orange", "pink",
    "purple", "dark", "light", "bright", "large", "small", "big", "little", "young", "old", "tall",
    "long", "short", "narrow", "wide", "wooden", "brick", "concrete", "blurry", "busy",
}  # fmt: skip


def clauses(pieces: Iterator[str], language: Language = "en") -> Iterator[str]:
    """Yield speakable clauses of the text that `pieces` brings bit by bit.

    A generator may return True to say that the text ended where its writer ended it; anything else
    means that it broke off, perhaps within a word. Closing this iterator closes `pieces`.
    """
    waiting, spoken = "", False
    english = language == "en"
    try:
        while True:
            try:
                waiting += _MARKUP.sub("", next(pieces))
            except StopIteration as stop:
                ended = stop.value is True
                break
            while cut := _first_boundary(waiting, commas=english):
                clause, waiting = tidy(waiting[: cut[0]]), waiting[cut[1] :]
                if clause:
                    spoken = True
                    yield clause
    finally:
        if isinstance(pieces, Generator):
            pieces.close()
    rest = tidy(waiting if ended else _without_tail(waiting, spoken, _cannot_end(language)))
    if rest:
        yield rest


def tidy(text: str) -> str:
    """One clause as it is spoken: single blanks, a capital, a period; empty if no voice could say
    what is left: an answer of signs alone would be heard as silence."""
    words = " ".join(text.split()).strip(_TRIM)
    return f"{words[0].upper()}{words[1:]}." if any(map(str.isalnum, words)) else ""


def _first_boundary(text: str, commas: bool) -> tuple[int, int] | None:
    """(end of the clause, start of the next) of the first boundary known to be one."""
    breaks = _BREAK.finditer(text) if commas else ()
    for match in sorted([*_SENTENCE_END.finditer(text), *breaks], key=lambda m: m.start()):
        left = text[: match.start()]
        if not left.strip(_TRIM):
            continue
        if match.group()[0] in ",;:":
            following = re.match(r"(\w+)\s", text[match.end() :])
            opens = following is not None and following.group(1).lower() in _OPENS_CLAUSE
            if not (opens and _has_verb(left)):
                continue
        elif match.group()[0] == "." and _ABBREVIATION.search(left):
            continue
        return match.start(), match.end()
    return None


def _has_verb(text: str) -> bool:
    words = re.findall(r"[a-z]+", text.lower())
    return len(words) >= 3 and any(
        word in _VERBS or (word.endswith("ing") and word not in _NOT_VERBS) for word in words
    )


@lru_cache(maxsize=8)
def _cannot_end(language: Language) -> frozenset[str]:
    """Words after which a phrase must go on."""
    if language == "en":
        return frozenset(_CANNOT_END)
    lists = understood(language)
    before = {word for phrase in lists.before for word in phrase.split()}
    return lists.determiners | lists.joins | lists.breaks | before


def _without_tail(text: str, spoken: bool, cannot_end: frozenset[str]) -> str:
    """What may still be said of a text that broke off; nothing if only a fragment would be left."""
    if re.search(r"\d\.$|[^\s.!?][.!?]+[\"')\]]*\s*$", text):
        return text  # it broke off just after the end of a sentence
    for match in reversed(list(_BREAK.finditer(text))):
        if _has_verb(text[: match.start()]):
            return text[: match.start()]
    if spoken:
        return ""
    words = text.split()
    if words and not text[-1].isspace():
        words.pop()  # perhaps half a word
    while words and words[-1].strip(_TRIM).lower() in cannot_end | {""}:
        words.pop()
    return " ".join(words)
