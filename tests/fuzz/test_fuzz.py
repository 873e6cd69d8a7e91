"""Broken files, for a short while: `make fuzz MINUTES=60` goes on for hours. A crash that was found
is mended, and its file becomes a test of the reader's own."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import EDITS, TARGETS, check, edited, strategy

pytestmark = pytest.mark.weights  # the readers of packs are beside frameworks
EXAMPLES = 100


@pytest.mark.parametrize("name", TARGETS)
def test_a_broken_file_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    target = TARGETS[name]
    seeds = tmp_path / "seeds"
    place = tmp_path / "place"
    place.mkdir()
    contents = strategy(target, seeds)
    for path in seeds.iterdir():  # what a manifest names is there
        if path.is_file():
            (place / path.name).write_bytes(path.read_bytes())

    @settings(
        max_examples=EXAMPLES // (4 if target.slow else 1),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(content=contents)
    def run(content: bytes) -> None:
        check(target, place, content)

    run()


@given(st.data())
@settings(max_examples=30)
def test_an_edit_never_fails(data: st.DataObject) -> None:
    content = data.draw(st.binary(max_size=50))
    assert isinstance(edited(content, data.draw(EDITS)), bytes)
