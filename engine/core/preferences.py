"""The wording options that the wearer can choose, as the allowed values of settings."""

from typing import Literal

Language = str  # the code of a folder of `templates/`, for example "en"
Units = Literal["meters", "feet", "steps"]
Directions = Literal["sides", "clock"]
Detail = Literal["brief", "normal", "full"]
Unsupported = Literal["hedge", "drop", "say"]  # what happens to a claim that no evidence supports
