"""Each language is complete and consistent. All list the same, and none contains another's
words."""

import json
import re
from itertools import product
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.errors import MissingPart
from engine.core.glance import Side
from engine.language import pack
from engine.language.pack import TEMPLATES, languages
from engine.language.wording import StatusKey, Words
from tests.fakes.glances import make_glance, make_obstacle, make_scene

EN, ES = Words("en"), Words("es")
ALL = {code: Words(code) for code in languages()}
CLOCK = {code: Words(code, directions="clock") for code in languages()}


def listed(text: str) -> list[str]:
    return text.split()


COCO = listed(
    "person bicycle car motorcycle airplane bus train truck boat traffic_light fire_hydrant "
    "stop_sign parking_meter bench bird cat dog horse sheep cow elephant bear zebra giraffe "
    "backpack umbrella handbag tie suitcase frisbee skis snowboard sports_ball kite baseball_bat "
    "baseball_glove skateboard surfboard tennis_racket bottle wine_glass cup fork knife spoon bowl "
    "banana apple sandwich orange broccoli carrot hot_dog pizza donut cake chair couch "
    "potted_plant bed dining_table toilet tv laptop mouse remote keyboard cell_phone "
    "microwave oven toaster sink refrigerator book clock vase scissors "
    "teddy_bear hair_drier toothbrush"
)
WALKERS = listed(
    "door stairs crosswalk pothole pole handrail head cabinet_door handle refrigerator_door "
    "waste_container heater bookcase pavement street_light sign traffic_sign obstacle coffee_table "
    "nightstand shelf window_blind picture_frame tap tin_can countertop cabinetry pillow doll"
)
SCENES = listed(
    "auditorium bathroom bedroom bridge buildings car_park city_buildings classroom "
    "construction_site corridor courtyard dining_room driveway forest gas_station hospital_room "
    "house_front kitchen living_room lobby locker_room market mountain museum office park "
    "railway_track restaurant road sea shop stairs station street vehicle_interior yard"
)


def data(language: str, name: str) -> dict[str, object]:
    text = (TEMPLATES / language / f"{name}.json").read_text(encoding="utf-8")
    content: dict[str, object] = json.loads(text)
    return content


@pytest.mark.parametrize("language", languages())
def test_every_label_has_a_name_and_a_plural(language: str) -> None:
    things = data(language, "things")
    for label in (*COCO, *WALKERS):
        assert label.replace("_", " ") in things, label
        assert all(ALL[language].label(label, count) for count in (1, 2))
    has_gender = {len(noun) > 2 for noun in things.values()}  # type: ignore[arg-type]
    assert len(has_gender) == 1  # all of them or none


def test_spanish_nouns_have_a_gender() -> None:
    things = data("es", "things")
    assert {noun[2] for noun in things.values()} == {"m", "f"}  # type: ignore[index]
    assert {len(noun) for noun in data("en", "things").values()} == {2}  # type: ignore[arg-type]


@pytest.mark.parametrize("language", languages())
def test_every_scene_has_a_phrase(language: str) -> None:
    scenes = data(language, "scenes")
    for label in SCENES:
        assert scenes[label.replace("_", " ")], label


def test_all_languages_list_the_same() -> None:
    for name, code in product(("things", "scenes", "words", "commands", "understand"), languages()):
        assert data(code, name).keys() == data("en", name).keys()


@pytest.mark.parametrize(
    ("label", "count", "english", "spanish"),
    [
        ("person", 1, "person", "persona"),
        ("person", 3, "people", "personas"),
        ("Traffic_Light", 2, "traffic lights", "semáforos"),
        ("forklift", 1, "obstacle", "obstáculo"),
        ("None", 2, "obstacles", "obstáculos"),
        ("señal", 1, "obstacle", "obstáculo"),
        ("{{ x }}", 2, "obstacles", "obstáculos"),
        ("", 1, "obstacle", "obstáculo"),
        ("class_17", 1, "obstacle", "obstáculo"),
    ],
)
def test_labels(label: str, count: int, english: str, spanish: str) -> None:
    assert EN.label(label, count) == english
    assert ES.label(label, count) == spanish


@pytest.mark.parametrize(
    ("units", "distance_m", "english", "spanish"),
    [
        ("meters", 0.0, "within reach", "al alcance de la mano"),
        ("meters", 0.25, "half a meter", "medio metro"),
        ("meters", 1.0, "one meter", "un metro"),
        ("meters", 1.3, "one and a half meters", "un metro y medio"),
        ("meters", 2.0, "two meters", "dos metros"),
        ("meters", 2.6, "two and a half meters", "dos metros y medio"),
        ("meters", 2.8, "three meters", "tres metros"),
        ("meters", 3.4, "three meters", "tres metros"),
        ("meters", 3.5, "four meters", "cuatro metros"),
        ("meters", 20.0, "twenty meters", "veinte metros"),
        ("meters", 20.01, "far", "lejos"),
        ("feet", 0.3048, "one foot", "un pie"),
        ("feet", 1.8288, "six feet", "seis pies"),
        ("feet", 3.048, "ten feet", "diez pies"),
        ("feet", 6.4008, "twenty feet", "veinte pies"),  # 21 feet
        ("feet", 20.0, "sixty-five feet", "sesenta y cinco pies"),
        ("feet", float("inf"), "far", "lejos"),
        ("steps", 0.3, "one step", "un paso"),
        ("steps", 1.4, "two steps", "dos pasos"),
        ("steps", 14.0, "twenty steps", "veinte pasos"),
        ("steps", 0.2, "within reach", "al alcance de la mano"),
    ],
)
def test_distances(units: str, distance_m: float, english: str, spanish: str) -> None:
    assert Words("en", units).distance(distance_m) == english  # type: ignore[arg-type]
    assert Words("es", units).distance(distance_m) == spanish  # type: ignore[arg-type]


def test_steps_have_the_length_of_the_wearers_step() -> None:
    assert Words("en", "steps", "sides", step_m=0.5).distance(2.0) == "four steps"
    assert Words("en", "steps", "sides", step_m=1.0).distance(2.0) == "two steps"


def test_spanish_numbers_agree() -> None:
    def crowd(label: str, count: int) -> str:
        return ES.describe(make_glance(*[make_obstacle(label, 5)] * count)).split(" delante")[0]

    assert crowd("person", 21) == "Veintiuna personas"
    assert crowd("car", 21) == "Veintiún coches"
    assert crowd("car", 31) == "Treinta y un coches"
    assert crowd("person", 31) == "Treinta y una personas"
    assert crowd("car", 11) == "Once coches"
    both = [make_obstacle("car", 5), make_obstacle("car", 6, "left")]
    assert ES.describe(make_glance(*both)) == (
        "Dos coches: uno delante, a cinco metros; uno a la izquierda."
    )
    many = [*[make_obstacle("car", 5)] * 2, *[make_obstacle("car", 6, "left")] * 21]
    assert ES.describe(make_glance(*many)) == (
        "Veintitrés coches: dos delante, el más cercano a cinco metros; veintiuno a la izquierda."
    )


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("key", get_args(StatusKey))
def test_every_status_has_a_sentence(language: str, key: StatusKey) -> None:
    for count in (1, 2, 21, 120):
        text = ALL[language].status(key, count)
        assert text[0].isupper()
        assert text[-1] == "."
        assert not re.search(r"[{}]|\s\s|\n| [.,]", text)


def test_every_status_key_is_used() -> None:
    """Some module of the engine must name the key, besides the list of all keys."""
    root = TEMPLATES.parent / "engine"
    listing = root / "language" / "wording.py"
    source = "".join(p.read_text(encoding="utf-8") for p in root.rglob("*.py") if p != listing)
    assert [key for key in get_args(StatusKey) if f'"{key}"' not in source] == []


def test_statuses_differ_by_key_and_language() -> None:
    said = [words.status(key) for words in ALL.values() for key in get_args(StatusKey)]
    assert len(set(said)) == len(said)
    assert ES.status("frame_skipped", 21) == "He omitido veintiuna imágenes dañadas."


def spoken_words(text: str) -> set[str]:
    return set(re.findall(r"[^\W\d_]+", text.lower()))


def vocabulary(language: str) -> set[str]:
    """The words that a language can say: its tables, statuses and all branches of its answers."""
    tables = data(language, "words")
    nouns = [*data(language, "things").values(), *tables["units"].values()]  # type: ignore[attr-defined]
    texts = [word for noun in nouns for word in noun[:2]]
    texts += [phrase for phrase in data(language, "scenes").values() if isinstance(phrase, str)]
    scenes = [
        make_scene(label, probability, indoor=indoor)
        for probability in (0.1, 0.3, 0.9)
        for label in ("street", "n0291", "xx")
        for indoor in (False, True)
    ]
    for words in (ALL[language], CLOCK[language]):
        texts += [words.status(key, count) for key in get_args(StatusKey) for count in range(100)]
        texts += [words.describe(make_glance(scene=scene)) for scene in scenes]
        for count, distance_m in product((1, 2, 3, 12), (0.1, 0.5, 1.5, 2.0, 50.0)):
            crowd = [
                make_obstacle(label, distance_m, side, 30.0 * i)
                for i in range(count)
                for label in ("person", "car", "dog", "bus", "door")
                for side in get_args(Side)
            ]
            texts += [
                words.describe(make_glance(*crowd)),
                words.describe(make_glance(*crowd[:count])),
            ]
    return spoken_words(" ".join(texts)) - {"xx"}


EN_WORDS, ES_WORDS = vocabulary("en"), vocabulary("es")
SHARED = {"a", "bar", "hospital", "hotel", "pizza", "pizzas"}  # the same in English and Spanish


def test_english_and_spanish_share_only_common_words() -> None:
    assert EN_WORDS & ES_WORDS == SHARED


@given(st.lists(st.sampled_from(COCO) | st.text(max_size=9), max_size=9), st.text(max_size=9))
@settings(max_examples=100, deadline=None)
def test_spanish_says_no_english_word(labels: list[str], scene: str) -> None:
    obstacles = [make_obstacle(label, float(i)) for i, label in enumerate([*labels, "forklift"])]
    text = ES.describe(make_glance(*obstacles, scene=make_scene(scene)))
    assert not spoken_words(text) & (EN_WORDS - SHARED)


def test_a_missing_or_incomplete_language_is_a_one_line_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MissingPart, match=rf"{', '.join(languages())}.*'xx'"):
        Words("xx", "meters", "sides")
    monkeypatch.setattr(pack, "TEMPLATES", tmp_path)
    (tmp_path / "en").mkdir()
    with pytest.raises(MissingPart, match="incomplete"):
        Words("en", "meters", "sides")


def test_the_folder_is_found_from_any_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert Words("en", "meters", "sides").status("ready") == "Ready."
