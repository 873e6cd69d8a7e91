"""Maps ImageNet's 1,000 labels to scenes, for a classifier trained on ImageNet.

A label is listed if it is a place (grocery store) or is rarely seen elsewhere (a traffic light:
street). The probabilities of a scene's labels are summed; all other labels count as `other`, which
is neither indoors nor outdoors.
"""

# scene -> (is indoors, the first name of each ImageNet label)
SCENES: dict[str, tuple[bool, tuple[str, ...]]] = {
    "street": (
        False,
        (
            "traffic light", "street sign", "parking meter", "streetcar", "trolleybus", "cab",
            "minibus", "school bus", "police van", "ambulance", "fire engine", "garbage truck",
            "moving van", "trailer truck", "tow truck", "jinrikisha", "motor scooter", "moped",
            "limousine", "minivan", "beach wagon", "pay-phone", "mailbox", "manhole cover",
        ),
    ),
    "station": (True, ("bullet train", "passenger car", "electric locomotive", "turnstile")),
    "gas station": (False, ("gas pump",)),
    "bridge": (False, ("steel arch bridge", "suspension bridge", "viaduct")),
    "park": (False, ("park bench", "fountain", "swing", "maze")),
    "yard": (False, ("patio", "lawn mower", "picket fence", "worm fence", "greenhouse")),
    "city buildings": (
        False,
        ("church", "mosque", "palace", "dome", "bell cote", "triumphal arch", "obelisk", "castle"),
    ),
    "construction site": (False, ("crane", "forklift")),
    "waterside": (
        False,
        ("pier", "dock", "breakwater", "lakeside", "seashore", "sandbar", "promontory"),
    ),
    "countryside": (False, ("alp", "cliff", "valley", "volcano", "hay", "harvester", "barn")),
    "shop": (
        True,
        (
            "grocery store", "butcher shop", "bakery", "confectionery", "bookshop", "shoe shop",
            "toyshop", "tobacco shop", "barbershop", "shopping cart", "vending machine",
        ),
    ),
    "restaurant": (True, ("restaurant", "menu", "wine bottle", "espresso", "plate")),
    "kitchen": (
        True,
        (
            "refrigerator", "stove", "dishwasher", "microwave", "toaster", "espresso maker",
            "Dutch oven", "frying pan", "wok", "waffle iron", "Crock Pot", "plate rack",
        ),
    ),
    "dining room": (True, ("dining table", "china cabinet")),
    "living room": (
        True,
        (
            "studio couch", "entertainment center", "home theater", "television", "table lamp",
            "rocking chair", "fire screen", "bookcase",
        ),
    ),
    "bedroom": (True, ("four-poster", "quilt", "pillow", "crib", "bassinet", "wardrobe",
                       "chiffonier")),
    "bathroom": (
        True,
        (
            "bathtub", "shower curtain", "toilet seat", "washbasin", "toilet tissue",
            "medicine chest", "soap dispenser", "tub", "bath towel",
        ),
    ),
    "office": (
        True,
        ("desk", "desktop computer", "photocopier", "printer", "monitor", "computer keyboard",
         "file"),
    ),
    "library": (True, ("library",)),
    "auditorium": (True, ("cinema", "theater curtain", "stage", "altar", "organ")),
    "stairs": (True, ("bannister",)),
    "doorway": (True, ("sliding door", "doormat", "shoji")),
    "prison": (True, ("prison",)),
}  # fmt: skip


def scene_columns(first_names: list[str]) -> tuple[list[str], dict[str, bool], list[list[int]]]:
    """(scenes, scene -> is indoors, columns of each scene), for label names in the order of the
    logits.

    Raises KeyError if a label of the table is not in `first_names`.
    """
    column = {name: index for index, name in reversed(list(enumerate(first_names)))}
    scenes = list(SCENES)
    indoor = {scene: inside for scene, (inside, _) in SCENES.items()}
    return (scenes, indoor, [[column[name] for name in SCENES[scene][1]] for scene in scenes])
