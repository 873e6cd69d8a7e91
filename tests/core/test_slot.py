"""A slot keeps the newest value, never blocks a producer, and counts every value."""

import threading
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.slot import Slot

PATIENCE_S = 20.0  # with a broken slot, the test fails instead of hanging


def run(*bodies: Callable[[], None]) -> None:
    threads = [threading.Thread(target=body, daemon=True) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
        assert not thread.is_alive(), "a thread was never woken"


def test_newest_does_not_consume_the_value() -> None:
    slot: Slot[str] = Slot()
    reader = slot.reader()
    assert slot.newest() is None
    slot.put("a")
    assert (slot.newest(), slot.newest(), slot.version) == ("a", "a", 1)
    assert reader.next(0) == "a"
    assert slot.newest() == "a"


def test_a_reader_gets_each_value_once_and_only_the_newest() -> None:
    slot: Slot[int] = Slot()
    reader = slot.reader()
    assert reader.next(0) is None
    for value in range(5):
        slot.put(value)
    assert (reader.next(0), reader.dropped) == (4, 4)
    assert (reader.next(0), reader.dropped) == (None, 4)


def test_an_unread_current_value_is_not_dropped() -> None:
    slot: Slot[int] = Slot()
    reader = slot.reader()
    slot.put(1)
    assert reader.dropped == 0
    assert reader.next(0) == 1


def test_newer_than_works_from_any_version() -> None:
    slot: Slot[str] = Slot()
    slot.put("a")
    slot.put("b")
    assert slot.newer_than(0, 0) == (2, "b")
    assert slot.newer_than(1, 0) == (2, "b")
    assert slot.newer_than(2, 0) is None


def test_readers_are_independent() -> None:
    slot: Slot[int] = Slot()
    got: list[int | None] = []
    waiting = threading.Barrier(4)

    def read() -> None:
        reader = slot.reader()
        waiting.wait(PATIENCE_S)
        got.append(reader.next(PATIENCE_S))

    def write() -> None:
        waiting.wait(PATIENCE_S)
        slot.put(7)

    run(read, read, read, write)
    assert got == [7, 7, 7]


def test_close_wakes_all_readers_and_keeps_the_last_value() -> None:
    slot: Slot[int] = Slot()
    got: list[int | None] = []
    waiting = threading.Barrier(3)

    def read() -> None:
        waiting.wait(PATIENCE_S)
        got.append(slot.reader().next())

    def close() -> None:
        waiting.wait(PATIENCE_S)
        slot.close()

    run(read, read, close)
    assert got == [None, None]
    assert slot.closed

    late: Slot[int] = Slot()
    reader = late.reader()
    late.put(1)
    late.close()
    late.close()
    late.put(2)  # ignored: the slot is closed
    assert (reader.next(), reader.next(), late.version) == (1, None, 1)


def test_a_falsy_value_is_a_value() -> None:
    slot: Slot[int] = Slot()
    slot.put(0)
    assert slot.newer_than(0, 0) == (1, 0)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(["put", "read"]), max_size=40))
def test_every_value_is_read_or_counted_as_dropped(steps: list[str]) -> None:
    slot: Slot[int] = Slot()
    reader = slot.reader()
    read: list[int] = []
    for step in steps:
        if step == "put":
            slot.put(slot.version)
        elif (value := reader.next(0)) is not None:
            read.append(value)
    if (last := reader.next(0)) is not None:
        read.append(last)
    assert len(read) + reader.dropped == slot.version
    assert read == sorted(set(read))


def test_a_slow_reader_gets_values_in_order_and_the_last_one() -> None:
    slot: Slot[int] = Slot()
    reader = slot.reader()
    read: list[int] = []
    count = 2000

    def write() -> None:
        for value in range(count):
            slot.put(value)
        slot.close()

    def consume() -> None:
        while (value := reader.next()) is not None:
            read.append(value)

    run(write, consume)
    assert read[-1] == count - 1
    assert read == sorted(set(read))
    assert len(read) + reader.dropped == count
