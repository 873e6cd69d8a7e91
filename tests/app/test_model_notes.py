"""Warnings of the models become lines on the screen."""

import logging

import pytest

from engine.app.model_notes import model_notes


def test_a_warning_is_one_line_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    shown: list[str] = []
    log = logging.getLogger("models.runtime.compiled")
    with model_notes(shown.append):
        log.warning("%s is damaged; %s", "detector.blob", "compiled again")
        log.info("not shown")
    assert shown == ["detector.blob is damaged; compiled again"]
    assert not caplog.records
    log.warning("later")
    assert len(shown) == 1
    assert [record.getMessage() for record in caplog.records] == ["later"]
