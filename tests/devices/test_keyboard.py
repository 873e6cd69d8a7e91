"""The keyboard: keys of a terminal, also those pressed before it was opened."""

import os
import queue
import sys

import pytest

from engine.devices.input.keyboard import Keyboard

pty = pytest.importorskip("pty")


def test_keys_pressed_while_models_load_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, shell = pty.openpty()
    keys: queue.Queue[str] = queue.Queue()
    with open(shell, encoding="utf-8") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        os.write(terminal, b"m\rw")  # before the engine listens
        keyboard = Keyboard(keys.put)
        os.write(terminal, b"t")
        assert [keys.get(timeout=5.0) for _ in range(4)] == ["m", "\n", "w", "t"]
        keyboard.close()
    os.close(terminal)
