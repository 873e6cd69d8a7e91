"""What the pocket describer learns to say: human captions, cleaned, and sentences made from boxes.

Knows records and words; knows nothing of models.
"""

import re
from collections import Counter
from collections.abc import Iterable

from experiments.pocket.data import Box, Record

LONGEST_WORDS = 13  # so that sixteen tokens are a whole sentence
SURE = 0.5  # a machine label below this score must be confirmed by the second teacher

# Sets whose boxes are told as well: a walker's own view, and rooms.
TOLD = (
    "boxes_coco",
    "boxes_pedestrians",
    "boxes_motorcycles",
    "masks_camvid",
    "scenes_houses",
    "scenes_miniplaces",
    "walks_sf",
)
# Where it is, by set or by scene; scenes that are left out ("other") are not told.
WHERE = {
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
# Told in this order: people, then what moves, then what stands.
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
# One name for what the sets call differently.
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
    """A caption as it is to be said: lower case inside, one full stop.

    None where it is too long or holds what is no word.
    """
    text = re.sub(r"\s+", " ", caption.replace(" 's", "'s")).strip(" .\"'").lower()
    text = re.sub(r"\s+([,'])", r"\1", text)
    words = text.split(" ")
    if not 3 <= len(words) <= LONGEST_WORDS or re.search(r"[^a-z0-9 ,'-]", text):
        return None
    return text[0].upper() + text[1:] + "."


def certain(boxes: Iterable[Box]) -> list[Box]:
    """Machine labels that are worth repeating."""
    return [box for box in boxes if box.score >= SURE or (box.agreed and box.score >= 0.4)]


def objects(record: Record) -> Counter[str]:
    """How many of each object the labels of a record hold, human ones first."""
    human = Counter(SAME.get(box.label, box.label) for box in record.boxes)
    machine = Counter(box.label for box in certain(record.pseudo_boxes))
    return human | machine


def told(record: Record) -> str | None:
    """A sentence from boxes ("Two people and a car on a street."), None where they hold nothing."""
    if record.set_name not in TOLD:
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
    where = WHERE.get(record.set_name) or WHERE.get(record.scene or "")
    text = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    return f"{text[0].upper()}{text[1:]}{f' {where}' if where else ''}."


def sentences(record: Record) -> tuple[str, ...]:
    """All that may be said of a record."""
    cleaned = [text for caption in record.captions if (text := clean(caption))]
    made = told(record)
    return (*cleaned, *([made] if made else []))
