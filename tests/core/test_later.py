"""A value that is made in the background."""

import threading

import pytest

from engine.core.errors import MissingPart, StillLoading
from engine.core.later import Later


def test_a_value_is_refused_until_it_is_there() -> None:
    later = Later[int]("the number")
    with pytest.raises(StillLoading, match=r"^the number is still loading$"):
        later.get()
    assert not later.settled
    later.put(7)
    assert (later.settled, later.get()) == (True, 7)


def test_a_value_that_failed_raises_why() -> None:
    later = Later[int]("the number")
    later.fail(MissingPart("no such file"))
    assert later.settled
    with pytest.raises(MissingPart, match="no such file"):
        later.get()


def test_a_value_that_is_overdue_may_still_come() -> None:
    later = Later[int]("the number")
    later.overdue(MissingPart("it takes too long"))
    with pytest.raises(MissingPart, match="too long"):
        later.get()
    assert not later.wait(0.0)
    later.put(7)
    assert (later.settled, later.get()) == (True, 7)


@pytest.mark.parametrize("fails", [False, True])
def test_who_waits_is_woken(fails: bool) -> None:
    later = Later[int]("the number")
    assert not later.wait(0.0)
    woken: list[bool] = []
    thread = threading.Thread(target=lambda: woken.append(later.wait(10.0)))
    thread.start()
    if fails:
        later.fail(MissingPart("no such file"))
    else:
        later.put(7)
    thread.join(10.0)
    assert woken == [True]
