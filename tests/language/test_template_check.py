"""A mistake in any template is refused at the start, in one line with its file and line."""

import re
import shutil
from pathlib import Path

import pytest

from engine.app.opening import report_unnamed
from engine.core.errors import MissingPart
from engine.core.report import Health
from engine.language import commands, pack, reassurance
from engine.language.pack import TEMPLATES, languages
from engine.language.template_check import CheckedWords, check_templates
from engine.language.wording import Words

FILES = sorted(path.relative_to(TEMPLATES) for path in TEMPLATES.glob("*/**/*.j2"))
FACT = re.compile(r"\b(thing|span|place|first|group|unit)\.(\w+)")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the templates, which the language room reads instead."""
    copy = tmp_path / "templates"
    shutil.copytree(TEMPLATES, copy)
    for module in (pack, commands, reassurance):
        monkeypatch.setattr(module, "TEMPLATES", copy)
    return copy


def refused(code: str) -> str:
    with pytest.raises(MissingPart) as caught:
        check_templates(CheckedWords(code))
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("code", languages())
def test_the_templates_that_ship_are_accepted(code: str) -> None:
    check_templates(CheckedWords(code))


UNREACHED = "{% if 1 > 2 %}{{ never_heard_of }}{% endif %}"
MISTAKES = [
    *((file, "{% if %}", "Expected an expression") for file in FILES),
    *((file, UNREACHED, "'never_heard_of' is undefined") for file in FILES),
    *(
        (Path("en/alert.j2"), added, says)
        for added, says in (
            ("{{ never_heard_of }}", "'never_heard_of' is undefined"),
            ("{{ 1 | no_such_filter }}", "no_such_filter"),
            ('{% from "grammar.j2" import missing %}', "'missing' to import"),
            ("{{ 1 / 0 }}", "ZeroDivisionError"),
        )
    ),
    (Path("en/grammar.j2"), "{{ never_heard_of }}", "'never_heard_of' is undefined"),
]


@pytest.mark.parametrize(("file", "added", "says"), MISTAKES)
def test_a_mistake_is_refused_with_its_file_and_line(
    folder: Path, file: Path, added: str, says: str
) -> None:
    lines = (folder / file).read_text(encoding="utf-8").splitlines()
    (folder / file).write_text("\n".join([*lines, added]) + "\n", encoding="utf-8")
    message = refused(file.parts[0])
    assert message.startswith(f"templates/{file.as_posix()}, line {len(lines) + 1}: ")
    assert says in message


@pytest.mark.parametrize("name", ["alert.j2", "quick.j2", "where.j2", "why.j2", "grammar.j2"])
def test_every_branch_is_tried(folder: Path, name: str) -> None:
    file = folder / "es" / name
    text = file.read_text(encoding="utf-8")
    for match in list(FACT.finditer(text))[::4]:
        file.write_text(f"{text[: match.end()]}x{text[match.end() :]}", encoding="utf-8")
        pack._sayable.cache_clear()
        message = refused("es")
        assert f"{name}, line {text.count(chr(10), 0, match.end()) + 1}: " in message


def test_a_status_without_a_sentence_is_refused(folder: Path) -> None:
    file = folder / "en" / "status.j2"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"way_clear": ', '"another": '), encoding="utf-8")
    assert "way_clear" in refused("en")


@pytest.mark.parametrize(
    "name", ["words", "things", "scenes", "commands", "understand", "reassurance"]
)
@pytest.mark.parametrize("text", ["{", "[]", "\xff"])
def test_a_broken_list_of_words_is_refused(folder: Path, name: str, text: str) -> None:
    (folder / "en" / f"{name}.json").write_bytes(text.encode("latin-1"))
    assert "templates/en" in refused("en")


def test_a_broken_list_is_named(folder: Path) -> None:
    for name in ("reassurance", "commands"):  # in the order in which they are read
        (folder / "en" / f"{name}.json").write_text('{\n"a": 1,\n')
        assert re.search(rf"{name}\.json: .*line 3", refused("en"))
        shutil.copy(TEMPLATES / "en" / f"{name}.json", folder / "en")
        reassurance._reassuring_words.cache_clear()


@pytest.mark.parametrize("code", languages())
@pytest.mark.parametrize("name", ["quick", "alert", "where", "why", "read", "status"])
def test_a_template_that_says_nothing_is_refused(folder: Path, code: str, name: str) -> None:
    (folder / code / f"{name}.j2").write_text("{# nothing #}")
    assert refused(code).startswith(f"templates/{code}/{name}.j2: it says nothing for ")


def test_a_template_in_another_encoding_is_named(folder: Path) -> None:
    (folder / "es" / "where.j2").write_bytes("aquí".encode("latin-1"))
    assert refused("es").startswith("templates/es/where.j2: ")


def test_a_list_of_another_language_is_checked_too(folder: Path) -> None:
    (folder / "es" / "understand.json").write_text("{")
    assert "templates/es" in refused("en")


def test_labels_without_a_word_are_reported_once() -> None:
    reported: list[Health] = []
    words = Words("en")
    report_unnamed(words, ("person", "fork_lift", "bus", "gnu"), reported.append)
    report_unnamed(words, ("person", "stop sign"), reported.append)
    (health,) = reported
    assert health.detail.endswith("no word for fork_lift, gnu")
    assert "obstacle" in health.action
