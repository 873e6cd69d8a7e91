"""The terminal output for screen readers and pipes: one line an event, without boxes, colours or
animation."""

import sys
from collections.abc import Sequence
from typing import Any

from engine.app.console import Screen, asked, described, milliseconds, routed, verdict
from engine.core.answer import Description
from engine.core.budgets import ANSWER_MS
from engine.core.report import Health, ModelCard
from engine.core.utterance import Utterance


class PlainScreen(Screen):
    """Prints the same events as `Screen`, each as one line that reads well aloud."""

    def settings(self, title: str, rows: Sequence[tuple[str, str]]) -> None:
        self.plain(title)
        for name, value in rows:
            self.plain(f"{name}: {value}")

    def plain(self, text: str) -> None:
        """Print `text` as it is."""
        with self._lock:
            self.console.print(text, soft_wrap=True, markup=False, highlight=False)

    def loaded(self, tier: str, card: ModelCard, time_s: float) -> None:
        if not self._job:
            self.plain(f"{time_s:.2f} s: loaded {tier}, {described(card)}")

    def heard(self, utterance: Utterance, time_s: float) -> None:
        if utterance.kind == "answer" or not utterance.text or self._job:
            return
        where = f", {_direction(utterance.azimuth_deg)}" if utterance.kind == "alert" else ""
        self.plain(f"{time_s:.2f} s: {utterance.kind}{where}: {utterance.text}")

    def description(self, description: Description, time_s: float) -> None:
        if self._job:
            return
        tiers = " and ".join(dict.fromkeys(beat.tier for beat in description.beats))
        why = f" [{asked(description)}{routed(description)}]"
        self.plain(f"{time_s:.2f} s: answer, {tiers}: {description.text}{why}")

    def health(self, health: Health) -> None:
        self.plain(f"health: {health.what}: {health.detail}; {health.action}")

    def progress(self, total: int) -> None:
        """Nothing: a bar that moves is noise to a screen reader."""

    def latencies(self, tiers: dict[str, Any], shown: list[str]) -> None:
        for tier in shown:
            stages = tiers[tier]
            names = [name for name in stages if name != "end_to_end"] + ["end_to_end"]
            figures = ", ".join(f"{name} {milliseconds(stages.get(name))}" for name in names)
            self.plain(
                f"{tier} answers, ms from asking to the first sound (p50 / p95): {figures}; "
                f"budget {ANSWER_MS[tier]:.0f}: {verdict(tier, stages)}"
            )


def _direction(azimuth_deg: float) -> str:
    degrees = round(abs(azimuth_deg))
    return (
        "ahead" if degrees == 0 else f"{degrees} degrees {'left' if azimuth_deg < 0 else 'right'}"
    )


def build_screen(choice: str, job: str = "") -> Screen:
    """The screen of `screen=auto|rich|plain`. A `job` of a sweep prints little."""
    plain = choice == "plain" or (choice == "auto" and not sys.stdout.isatty())
    return PlainScreen(job=job) if plain else Screen(job=job)
