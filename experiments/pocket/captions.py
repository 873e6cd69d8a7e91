"""The sentences that the pocket describer learns: cleaned human captions, and sentences from boxes.

Knows records and words, not models.
"""

import re
from collections import Counter
from collections.abc import Iterable

from experiments.pocket.data import LabelledBox, LabelledImage

LONGEST_WORDS = 13  # so that a whole sentence fits into sixteen tokens
CONFIDENT = 0.5  # below this score a machine label must be confirmed by the second teacher

# Sets from whose boxes sentences are made too: a walker's view, and rooms.
BOX_SENTENCE_SETS = (
    "boxes_coco",
    "boxes_pedestrians",
    "boxes_motorcycles",
    "masks_camvid",
    "scenes_houses",
    "scenes_miniplaces",
    "walks_sf",
)
# The place, by set or by scene; scenes that are missing here ("other") are not mentioned.
PLACES = {
    "boxes_pedestrians": "on a street",
    "masks_camvid": "on a road",
    "walks_sf": "on a street",
    "boxes_motorcycles": "on a road",
    "auditorium": "in an auditorium",
    "bathroom": "in a bathroom",
    "bedroom": "in a bedroom",
    "bridge": "by a bridge",
    "car park": "in a car park",
    "city buildings": "by tall buildings",
    "classroom": "in a classroom",
    "corridor": "in a corridor",
    "courtyard": "in a courtyard",
    "dining room": "in a dining room",
    "driveway": "on a driveway",
    "hospital room": "in a hospital room",
    "house front": "in front of a house",
    "kitchen": "in a kitchen",
    "living room": "in a living room",
    "lobby": "in a lobby",
    "market": "at a market",
    "museum": "in a museum",
    "office": "in an office",
    "park": "in a park",
    "railway track": "by a railway track",
    "restaurant": "in a restaurant",
    "road": "on a road",
    "shop": "in a shop",
    "stairs": "by the stairs",
    "station": "in a station",
    "vehicle interior": "inside a vehicle",
    "yard": "in a yard",
}
# In the order of mention: people, then moving objects, then static ones.
NAMES = {
    "person": ("a person", "people"),
    "bus": ("a bus", "buses"),
    "truck": ("a truck", "trucks"),
    "car": ("a car", "cars"),
    "motorcycle": ("a motorcycle", "motorcycles"),
    "bicycle": ("a bicycle", "bicycles"),
    "dog": ("a dog", "dogs"),
    "staircase": ("a staircase", "staircases"),
    "door": ("a door", "doors"),
    "bed": ("a bed", "beds"),
    "couch": ("a couch", "couches"),
    "dining table": ("a table", "tables"),
    "chair": ("a chair", "chairs"),
    "toilet": ("a toilet", "toilets"),
    "sink": ("a sink", "sinks"),
    "oven": ("an oven", "ovens"),
    "refrigerator": ("a refrigerator", "refrigerators"),
    "potted plant": ("a plant", "plants"),
}
# One name for each object, for all the names that the sets use.
SAME = {
    "person_standing": "person",
    "person_walking": "person",
    "person_sitting": "person",
    "people": "person",
    "van": "car",
    "sofa": "couch",
    "armchair": "chair",
    "swivel_chair": "chair",
    "table": "dining table",
    "desk": "dining table",
    "coffee_table": "dining table",
    "double_door": "door",
    "washbasin": "sink",
    "plant": "potted plant",
}
NUMBERS = {2: "two", 3: "three", 4: "four"}


def clean(caption: str) -> str | None:
    """A caption as it should be spoken: lower case inside, one full stop.

    None if it is too long or contains anything but words.
    """
    text = re.sub(r"\s+", " ", caption.replace(" 's", "'s")).strip(" .\"'").lower()
    text = re.sub(r"\s+([,'])", r"\1", text)
    words = text.split(" ")
    if not 3 <= len(words) <= LONGEST_WORDS or re.search(r"[^a-z0-9 ,'-]", text):
        return None
    return text[0].upper() + text[1:] + "."


def confident_boxes(boxes: Iterable[LabelledBox]) -> list[LabelledBox]:
    """The machine labels that are reliable enough for a sentence."""
    return [box for box in boxes if box.score >= CONFIDENT or (box.agreed and box.score >= 0.4)]


def objects(record: LabelledImage) -> Counter[str]:
    """How many of each object the labels of a record contain, human labels first."""
    human = Counter(SAME.get(box.label, box.label) for box in record.boxes)
    machine = Counter(box.label for box in confident_boxes(record.pseudo_boxes))
    return human | machine


def box_sentence(record: LabelledImage) -> str | None:
    """A sentence made from boxes ("Two people and a car on a street."); None if there are none."""
    if record.set_name not in BOX_SENTENCE_SETS:
        return None
    count = objects(record)
    parts = []
    for label, (one, many) in NAMES.items():
        number = count.get(label, 0)
        if number:
            parts.append(one if number == 1 else f"{NUMBERS.get(number, 'several')} {many}")
    if not parts:
        return None
    parts = parts[:3]
    where = PLACES.get(record.set_name) or PLACES.get(record.scene or "")
    text = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    return f"{text[0].upper()}{text[1:]}{f' {where}' if where else ''}."


def sentences(record: LabelledImage) -> tuple[str, ...]:
    """All sentences that may describe a record."""
    cleaned = [text for caption in record.captions if (text := clean(caption))]
    made = box_sentence(record)
    return (*cleaned, *([made] if made else []))
