"""Which word an urgent alert should keep: the side ("Left!") or the thing ("Person!").

`python -m experiments.walks.phrases` plays the walks with both. The sound of either comes from the
obstacle's side, so the side is heard even where it is not said; the thing is only known from its
word. The figures are the same on every machine.
"""

import argparse
import statistics
import sys
from typing import Any, Literal

from rich.console import Console

from engine.core.glance import Obstacle
from engine.language.wording import AlertLength, Words
from engine.perception.camera import Mount
from experiments.common import add_seed, command_parser, figures_table, hardware, last_line
from experiments.walks.detector import Noise
from experiments.walks.figures import alert_figures
from experiments.walks.measure import Played, play
from experiments.walks.scenes import drawn, scripted

SIDES = {"left": "Left!", "ahead": "Ahead!", "right": "Right!"}
Form = Literal["side", "thing"]


class SideWords(Words):
    """Says the side where the phrase must be shortest."""

    def alert(self, obstacle: Obstacle, length: AlertLength = "full") -> str:
        return SIDES[obstacle.side] if length == "shortest" else super().alert(obstacle, length)


def form_figures(played: list[Played], rate_wpm: int) -> dict[str, Any]:
    """Figures of the alerts that were heard. Times run from the first sound to the end of the word.

    `thing_known_s` runs until the thing has been said; `shortest` counts the shortest phrases.
    """
    alerts = [alert for walk in played for alert in walk.alerts if not alert.all_clear]
    heard = [
        (alert.heard.utterance.text, alert.heard.ended_s - alert.heard.started_s)
        for alert in alerts
        if alert.heard.started_s is not None
        and alert.heard.ended_s is not None
        and not alert.heard.cut
    ]
    # the first word is the thing's, unless the phrase is a side
    known = [
        length_s - (len(text.split()) - 1) * 60.0 / rate_wpm
        for text, length_s in heard
        if text not in SIDES.values()
    ]
    all_figures = alert_figures(played)
    others = ("words_per_min", "hazards_missed", "late_share", "alerts_dropped_share")
    return {
        "alerts_heard": len(heard),
        "shortest": sum(text.endswith("!") for text, _ in heard),
        "thing_never_said": len(heard) - len(known),
        "thing_known_s_p50": round(statistics.median(known), 2),
        "phrase_s_p50": round(statistics.median(length_s for _, length_s in heard), 2),
        **{key: all_figures[key] for key in others},
    }


def report(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Play all walks with both forms; return what the last line says."""
    walks = (*scripted(), *drawn(args.walks, args.seed))
    forms: dict[Form, Words] = {"side": SideWords("en"), "thing": Words("en")}
    found = {
        form: form_figures(
            [play(w, Mount(), Noise(), args.rate_wpm, args.seed, words=words) for w in walks],
            args.rate_wpm,
        )
        for form, words in forms.items()
    }
    console.print(figures_table("the shortest alert", found))
    return hardware() | {"seed": args.seed, "rate_wpm": args.rate_wpm} | found


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.walks.phrases", __doc__)
    parser.add_argument("--walks", type=int, default=30, help="how many are drawn")
    add_seed(parser, 1)
    parser.add_argument("--rate-wpm", type=int, default=190)
    args = parser.parse_args(arguments)
    console = Console(highlight=False, width=100)
    return last_line("experiments.walks.phrases", lambda: report(args, console))


if __name__ == "__main__":
    sys.exit(main())
