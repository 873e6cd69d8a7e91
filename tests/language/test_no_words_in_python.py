"""A language is its folder: the Python that handles words contains no word of any language.

This is a scan for string literals, not a proof: it finds a language code in a comparison, a letter
that only some languages have, and a word that a folder lists. It cannot see a rule that only suits
one language's grammar.
"""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.language.pack import TEMPLATES, languages

ROOT = TEMPLATES.parent
CODE = sorted(
    path for room in ("engine", "routers", "models") for path in (ROOT / room).rglob("*.py")
)
# The rooms that word, split or understand sentences. Elsewhere, "no" or "off" is a console's word.
WORDING = [
    path
    for path in CODE
    if path.parts[len(ROOT.parts) + 1] in ("language", "listening", "answering", "alerts", "audio")
    or path.name in ("cider.py", "clauses.py")
]
# A language may be named where it is a default. In models/ it is a fact about a model.
MAY_NAME_A_LANGUAGE = {
    "engine/config.py",  # the default of the setting
    "engine/devices/checks.py",  # the voice that the check loads
}


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of every string literal that is no docstring; f-strings piece by piece."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings
        ):
            yield node.lineno, node.value


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


def keys(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from keys(item)


def listed() -> set[str]:
    """Every word and phrase that a folder's JSON lists, in lower case."""
    files = [json.loads(path.read_text(encoding="utf-8")) for path in TEMPLATES.glob("*/*.json")]
    phrases = {text.lower() for content in files for text in strings(content)}
    phrases |= {phrase for content in files for phrase in content.get("phrases", ())}
    return phrases | {word for phrase in phrases for word in phrase.split()}


def names() -> set[str]:
    """The engine's own identifiers: JSON keys, values of Literal types, and values of settings."""
    own = {key for path in TEMPLATES.glob("*/*.json") for key in keys(json.loads(path.read_text()))}
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal":
                own |= {str(n.value) for n in ast.walk(node) if isinstance(n, ast.Constant)}
    # a stage of an answer, and the settings that are off
    return own | {"auto", "route", "none"}


def test_no_code_asks_for_a_particular_language() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text!r}"
        for path in CODE
        if str(path.relative_to(ROOT)) not in MAY_NAME_A_LANGUAGE
        and not path.is_relative_to(ROOT / "models")
        for line, text in literals(path)
        if text in languages()
    ]
    assert found == []


def test_no_code_has_a_letter_that_only_some_languages_have() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text!r}"
        for path in CODE
        for line, text in literals(path)
        if any(letter.isalpha() and not letter.isascii() for letter in text)
    ]
    assert found == []


WORDS = {word for word in listed() if word[:1].isalpha()} - names()


@pytest.mark.parametrize("path", WORDING, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_wording_code_has_a_word_of_a_folder(path: Path) -> None:
    found = [
        f"line {line}: {text!r}"
        for line, text in literals(path)
        # a single letter is a key of the keyboard
        if text.strip().lower() in WORDS and len(text) > 1
    ]
    assert found == []
