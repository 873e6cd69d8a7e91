"""Turns an error of a template into one line with its file and line."""

import traceback
from pathlib import Path

from jinja2 import TemplateSyntaxError

from engine.core.errors import MissingPart, in_one_line, message_of
from engine.core.preferences import Language


def template_error(
    code: Language, error: Exception, place: tuple[str, int] | None = None
) -> MissingPart:
    """The one-line error for `error`, raised by a template of the language `code`. `place` is its
    file and line, where they are known better than by the error."""
    if isinstance(error, TemplateSyntaxError):
        place = error.name or (place or ("", 0))[0], error.lineno
    return mistake(code, *(place or _raised_in(error)), in_one_line(error))


def mistake(code: Language, name: str, line: int, what: str) -> MissingPart:
    """The one-line error for a mistake in a file of the language `code`; line 0 means that it is not
    known."""
    at = f", line {line}" if line else ""
    return MissingPart(
        f"templates/{code}/{name}{at}: {message_of(what, 200)}; correct it, or restore the file"
    )


def _raised_in(error: Exception) -> tuple[str, int]:
    """The template and the line in which `error` was raised."""
    place = "", 0
    for frame, line in traceback.walk_tb(error.__traceback__):
        path = Path(frame.f_code.co_filename)
        if path.suffix == ".j2":
            # Jinja corrects the lines of a traceback itself, except where a module is imported.
            compiled = frame.f_globals.get("__jinja_template__")
            line = line if compiled is None else compiled.get_corresponding_lineno(line)
            place = f"prompts/{path.name}" if path.parent.name == "prompts" else path.name, line
    return place
