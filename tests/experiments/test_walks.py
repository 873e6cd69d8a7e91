"""The scripted walks: every hazard is announced in time, despite a detector's noise."""

from dataclasses import replace
from functools import cache

import pytest

from engine.language.wording import Words
from engine.perception.camera import Mount
from experiments.walks.detector import NONE, Noise
from experiments.walks.figures import figures
from experiments.walks.measure import Played, play
from experiments.walks.phrases import SideWords, form_figures
from experiments.walks.scenes import drawn, scripted

WALKS = {walk.name: walk for walk in scripted()}
NOISES = {"clean": NONE, "noisy": Noise()}


@cache
def played(name: str, noise: str, seed: int) -> Played:
    return play(WALKS[name], Mount(), NOISES[noise], 190, seed)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("name", WALKS)
def test_every_hazard_is_announced_in_time(name: str, noise: str) -> None:
    for hazard in played(name, noise, 1).hazards:
        assert hazard.alert is not None
        started_s = hazard.alert.heard.started_s
        assert started_s is not None
        # An earcon comes first; in 1.5 s a word and a step follow.
        assert hazard.contact_s - started_s >= 1.5


@pytest.mark.parametrize("noise", NOISES)
def test_a_free_path_is_nearly_silent(noise: str) -> None:
    assert played("nothing there", "clean", 1).alerts == []
    for name in ("people pass beside", "nothing there"):
        assert len(played(name, noise, 1).alerts) <= 1


def test_a_path_that_becomes_free_is_announced_once() -> None:
    texts = [a.heard.utterance.text for a in played("held up, then free", "clean", 1).alerts]
    assert texts[-1] == "Way clear."
    assert texts.count("Way clear.") == 1


def test_without_noise_distances_and_times_are_near_the_truth() -> None:
    """Despite the head's nod and sway, and an unknown pitch and height."""
    found = figures([played(name, "clean", 1) for name in WALKS])
    assert found["hazards_missed"] == 0
    assert found["side_wrong"] == 0
    assert (found["distance_error_median"] or 1) < 0.1
    assert (found["bearing_error_deg_median"] or 9) < 2
    assert (found["ttc_error_median"] or 1) < 0.15


def test_walks_are_deterministic_and_do_not_depend_on_how_many_are_drawn() -> None:
    walk = replace(drawn(2, 5)[1], duration_s=3.0)
    assert walk == replace(drawn(9, 5)[1], duration_s=3.0)
    first, again = (play(walk, Mount(), Noise(), 190, 3) for _ in range(2))
    assert first.estimates == again.estimates
    assert first.alerts == again.alerts


def test_an_urgent_alert_names_its_thing() -> None:
    """The cyclist comes so fast that only the shortest phrase is in time."""
    (walk,) = [walk for walk in scripted() if walk.name == "cyclist comes"]
    forms = {"side": SideWords("en"), "thing": Words("en")}
    found = {
        form: form_figures([play(walk, Mount(), NONE, words=words)], 190)
        for form, words in forms.items()
    }
    assert found["side"]["shortest"] == found["side"]["thing_never_said"] > 0
    assert found["thing"]["thing_never_said"] == 0
    assert found["thing"]["words_per_min"] <= found["side"]["words_per_min"]
