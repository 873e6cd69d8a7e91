"""Marks text that was read in an image, so that it is spoken as a quotation and in another pitch.

The marks are the same in every language. Text that is quoted loses its own quotation marks, so no
sign can end its quotation and go on in the engine's voice.
"""

import re
from typing import NamedTuple

OPEN, CLOSE = "\u201c", "\u201d"
_MARKS = re.compile(r"[\"\u2018-\u201f\u2039\u203a\u00ab\u00bb\u300c-\u300f\uff02]")
_BREAK = re.compile(r"[,;:.!?\u2026\u3002](?=\s)")
_QUOTATION = re.compile(f"{OPEN}([^{CLOSE}]*){CLOSE}?")


class Part(NamedTuple):
    """A part of a text that is spoken in one pitch."""

    text: str
    quoted: bool


def quote(text: str) -> str:
    """`text` as a quotation, without quotation marks inside and with single spaces."""
    return f"{OPEN}{' '.join(_MARKS.sub(' ', text).split())}{CLOSE}"


def parts(text: str) -> list[Part]:
    """`text` in its quoted and other parts, in order, without the marks. Parts without a letter or a
    digit are left out."""
    found, at = [], 0
    for match in _QUOTATION.finditer(text):
        found += [Part(text[at : match.start()], False), Part(match[1], True)]
        at = match.end()
    found.append(Part(text[at:], False))
    return [part for part in found if any(map(str.isalnum, part.text))]


def inside_quotation(text: str, at: int) -> bool:
    """Whether position `at` of `text` is between the marks of a quotation."""
    return any(match.start() < at < match.end() for match in _QUOTATION.finditer(text))


def split_long(text: str, longest: int) -> list[str]:
    """`text` in parts of about `longest` characters: cut after a mark, else between words, else
    anywhere. A quotation that is cut becomes several, each after the words that introduce it, so that
    none is heard without them."""
    match = _QUOTATION.search(text) if len(text) > longest else None
    if match is None:
        return _wrapped(text, longest)
    *before, frame = _wrapped(text[: match.start()], longest // 2) or [""]
    quoted = _wrapped(match[1], max(longest // 2, longest - len(frame))) or [""]
    said = [f"{frame} {OPEN}{piece}{CLOSE}".lstrip() for piece in quoted]
    after = text[match.end() :]
    if not any(map(str.isalnum, after)):
        return [*before, *said[:-1], said[-1] + after]
    return [*before, *said, *split_long(after.lstrip(), longest)]


def _wrapped(text: str, longest: int) -> list[str]:
    """`text` in parts of at most `longest` characters, without spaces at their ends."""
    pieces = []
    text = text.strip()
    while len(text) > longest:
        head = text[:longest]
        cut = max((match.end() for match in _BREAK.finditer(head)), default=0)
        if cut < longest // 3:
            cut = head.rfind(" ") if head.rfind(" ") > 0 else longest
        pieces.append(text[:cut].rstrip())
        text = text[cut:].lstrip()
    return [*pieces, text] if text else pieces
