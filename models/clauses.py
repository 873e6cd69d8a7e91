"""Turns a stream of text into clauses that can be spoken, each as soon as it is sure to be whole.

Pure text: knows nothing of tokens, models or voices. The word lists are the `clauses` of the
language's `understand.json`. A language without conjunctions there is split into sentences only.

Rules. A sentence end always closes a clause. A comma does so only where both sides can stand
alone: the left has a verb ("A man is walking") and the right opens with a conjunction ("and a car
..."), so that lists ("a man, a woman and a dog") and openings ("On the left, ...") stay in one
piece. Every clause is given a capital and a period. When the text broke off, what dangles is
dropped: down to the last comma after a verb, or, where nothing could be said otherwise, down to the
last word that may end a phrase ("A man is standing on a" -> "A man is standing.").
"""

import re
from collections.abc import Generator, Iterator

from engine.core.preferences import Language
from engine.language.pack import ClauseWords, understood

# a mark, then blank: so "3.5", "10:30" and "1,000" are no boundaries
_SENTENCE_END = re.compile(r"[.!?]+[\"')\]]*\s+|\s*\n+\s*")
_BREAK = re.compile(r"[,;:]\s+")
_MARKUP = re.compile(r"[*#_`]+")
_TRIM = " \t\r\n.,;:!?-\u2013\u2014\"'([{"


def clauses(pieces: Iterator[str], language: Language = "en") -> Iterator[str]:
    """Yield speakable clauses of the text that `pieces` brings bit by bit.

    A generator may return True to say that the text ended where its writer ended it; anything else
    means that it broke off, perhaps within a word. Closing this iterator closes `pieces`.
    """
    waiting, spoken = "", False
    lists = understood(language).clauses
    try:
        while True:
            try:
                waiting += _MARKUP.sub("", next(pieces))
            except StopIteration as stop:
                ended = stop.value is True
                break
            while cut := _first_boundary(waiting, lists):
                clause, waiting = tidy(waiting[: cut[0]]), waiting[cut[1] :]
                if clause:
                    spoken = True
                    yield clause
    finally:
        if isinstance(pieces, Generator):
            pieces.close()
    rest = tidy(waiting if ended else _without_tail(waiting, spoken, lists))
    if rest:
        yield rest


def tidy(text: str) -> str:
    """One clause as it is spoken: single blanks, a capital, a period; empty if no voice could say
    what is left: an answer of signs alone would be heard as silence."""
    words = " ".join(text.split()).strip(_TRIM)
    return f"{words[0].upper()}{words[1:]}." if any(map(str.isalnum, words)) else ""


def _first_boundary(text: str, lists: ClauseWords) -> tuple[int, int] | None:
    """(end of the clause, start of the next) of the first boundary known to be one."""
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
    """Whether `text`, before a full stop, ends with an abbreviation, a number or a single letter."""
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
    """What may still be said of a text that broke off; nothing if only a fragment would be left."""
    if re.search(r"\d\.$|[^\s.!?][.!?]+[\"')\]]*\s*$", text):
        return text  # it broke off just after the end of a sentence
    for match in reversed(list(_BREAK.finditer(text))):
        if _has_verb(text[: match.start()], lists):
            return text[: match.start()]
    if spoken:
        return ""
    words = text.split()
    if words and not text[-1].isspace():
        words.pop()  # perhaps half a word
    while words and words[-1].strip(_TRIM).lower() in lists.cannot_end | {""}:
        words.pop()
    return " ".join(words)
