"""Splits a stream of text into clauses that can be spoken, yielding each as soon as it is
complete.

Knows nothing of tokens, models or voices. The word lists are the `clauses` of the language's
`understand.json`. If that list has no conjunctions, the text is split into sentences only.

Rules. A sentence end always ends a clause. A comma ends one only if both sides can stand alone: the
left has a verb ("A man is walking") and the right begins with a conjunction ("and a car ..."). So
lists ("a man, a woman and a dog") and openings ("On the left, ...") stay whole. Every clause gets a
capital and a period. If the text was cut off, its incomplete end is dropped: back to the last comma
after a verb, or, if nothing has been said yet, back to the last word that may end a phrase ("A man
is standing on a" -> "A man is standing.").
"""

import re
from collections.abc import Generator, Iterator

from engine.core.preferences import Language
from engine.language.pack import ClauseWords, understood

# A mark followed by a space, so that "3.5", "10:30" and "1,000" contain no boundary
_SENTENCE_END = re.compile(r"[.!?]+[\"')\]]*\s+|\s*\n+\s*")
_BREAK = re.compile(r"[,;:]\s+")
_MARKUP = re.compile(r"[*#_`]+")
_TRIM = " \t\r\n.,;:!?-\u2013\u2014\"'([{"


def clauses(pieces: Iterator[str], language: Language = "en") -> Iterator[str]:
    """Yield the speakable clauses of the text that `pieces` yields piece by piece.

    If `pieces` is a generator that returns True, the text is complete; otherwise it was cut off,
    perhaps within a word. Closing this iterator closes `pieces`.
    """
    pending, spoken = "", False
    lists = understood(language).clauses
    try:
        while True:
            try:
                pending += _MARKUP.sub("", next(pieces))
            except StopIteration as stop:
                ended = stop.value is True
                break
            while cut := _first_boundary(pending, lists):
                clause, pending = tidy(pending[: cut[0]]), pending[cut[1] :]
                if clause:
                    spoken = True
                    yield clause
    finally:
        if isinstance(pieces, Generator):
            pieces.close()
    rest = tidy(pending if ended else _without_tail(pending, spoken, lists))
    if rest:
        yield rest


def tidy(text: str) -> str:
    """A clause as it is spoken: single spaces, a capital, a period. Empty if it has no letter or
    digit, because a voice would be silent."""
    words = " ".join(text.split()).strip(_TRIM)
    return f"{words[0].upper()}{words[1:]}." if any(map(str.isalnum, words)) else ""


def _first_boundary(text: str, lists: ClauseWords) -> tuple[int, int] | None:
    """(end of the clause, start of the next one) at the first certain boundary."""
    breaks = _BREAK.finditer(text) if lists.opens else ()
    for match in sorted([*_SENTENCE_END.finditer(text), *breaks], key=lambda m: m.start()):
        left = text[: match.start()]
        if not left.strip(_TRIM):
            continue
        if match.group()[0] in ",;:":
            following = re.match(r"(\w+)\s", text[match.end() :])
            opens = following is not None and following.group(1).lower() in lists.opens
            if not (opens and _has_verb(left, lists)):
                continue
        elif match.group()[0] == "." and _is_abbreviation(left, lists):
            continue
        return match.start(), match.end()
    return None


def _is_abbreviation(text: str, lists: ClauseWords) -> bool:
    """Whether `text`, before a full stop, ends with an abbreviation, a number or a single
    letter."""
    word = re.split(r"\s", text)[-1].lower()
    alone = len(word) == 1 and word.isalpha()
    return word in lists.abbreviations or word.isdecimal() or alone


def _has_verb(text: str, lists: ClauseWords) -> bool:
    words = re.findall(r"[^\W\d_]+", text.lower())
    return len(words) >= 3 and any(
        word in lists.verbs or _is_verb_form(word, lists) for word in words
    )


def _is_verb_form(word: str, lists: ClauseWords) -> bool:
    ending = lists.verb_ending
    return bool(ending) and word.endswith(ending) and word not in lists.not_verbs


def _without_tail(text: str, spoken: bool, lists: ClauseWords) -> str:
    """The part of a cut-off text that can still be said; empty if only a fragment would be left."""
    if re.search(r"\d\.$|[^\s.!?][.!?]+[\"')\]]*\s*$", text):
        return text  # cut off just after the end of a sentence
    for match in reversed(list(_BREAK.finditer(text))):
        if _has_verb(text[: match.start()], lists):
            return text[: match.start()]
    if spoken:
        return ""
    words = text.split()
    if words and not text[-1].isspace():
        words.pop()  # perhaps incomplete
    while words and words[-1].strip(_TRIM).lower() in lists.cannot_end | {""}:
        words.pop()
    return " ".join(words)
