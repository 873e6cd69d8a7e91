"""How well wake phrases and commands are heard, and whether the engine's own voice is ignored.

`python -m experiments.quality.wake_words` lets espeak-ng speak in ten voices, at several speeds and
noise levels, to the engine's own adapters, echo guard and recogniser, faster than real time. It
measures the hit rate, the delay from the phrase's end, how long a hint precedes the wake, false
wakes and hints on speech without the phrase (everyday texts and near phrases), how often the
engine's own voice wakes it through a simulated loudspeaker and room, and how many commands are
understood. All speech is synthetic: compare these figures only with one another.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console

from engine.core.ports import WakeEngine
from engine.core.sound import HEARING_HZ, Pcm, Samples, Sound
from engine.devices.sound.microwakeword import DELAY_S, MicroWakeWord
from engine.devices.sound.recogniser import PocketSphinx
from engine.language.commands import command_grammar
from engine.listening.echo_guard import OWN_VOICE, STEP_S, WINDOW_S, EchoGuard
from experiments.common import command_parser, hardware, hardware_line, last_line, table_of
from experiments.quality.synthetic_speech import VOICES, Phrase, pause, say, to_pcm, with_noise

RATES_WPM = (130, 160, 190, 220)
SNR_DB = (40.0, 20.0, 10.0, 5.0)
REFRACTORY_S = 1.5
# Everyday speech, and below it phrases that sound like the wake phrases; written for this test.
TEXTS = (
    "The bus was late again this morning, so I walked along the river and bought two loaves of bread.",
    "Could you tell me which platform the train to the coast leaves from? I think it is number seven.",
    "My sister called to say that dinner is at eight and that the neighbours are bringing a salad.",
    "Please hold the door, the lift is out of order and I have a heavy box to carry upstairs.",
    "It rained all night, the garden is full of snails, and the cat refuses to leave the kitchen.",
    "We met at the museum, looked at the old maps for an hour, and had coffee on the terrace.",
)
NEAR_PHRASES = (
    "okay now", "okay nobody knows", "a canoe boat", "okay, no boo boos", "hockey nap", "okay, I knew",
    "a lecture", "Alex is here", "an election", "all exits", "hey Jason", "hey, jar of this",
    "hey Marcus", "hey, my craft", "hey Michael", "they microwave it",
)  # fmt: skip
LABELS = (
    "person", "bicycle", "car", "bus", "truck", "bench", "dog", "chair", "door", "stairs", "cup",
)  # fmt: skip
COMMANDS = (
    "describe", "more", "tell me more", "why", "read", "read text", "repeat", "say that again", "stop",
    "be quiet", "quieter", "louder", "where is the door", "where is a chair", "find the stairs",
    "find a bench", "where is the bus", "what is here", "what do you see", "where am i",
)  # fmt: skip
NOT_COMMANDS = (
    "hello there", "good morning everyone", "it is a sunny day", "yes please", "thank you very much",
    "the store closes at nine", "we should go", "come here", "my brother lives here", "what time is it",
    "my uncle has seven blue parrots in the attic", "we were there last night with friends",
    "the red house is near the water", "I read the newspaper every day",
    "she wants more sugar in her tea", "do you know where he is", "what do you think",
    "where did you go yesterday", "why not today", "please stop talking about it", "what is that noise",
    "where am I going to put this", "find out what he wants", "the dog is on the bench",
    "there is a person at the door", "I will repeat the question later",
    "can you see the sea from here", "what a lovely day", "the car is over there",
    "tell me about your day",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hits:
    """One condition: how many phrases were spoken, and the delay of each one that was heard."""

    spoken_count: int
    delays_s: tuple[float, ...]

    @property
    def rate(self) -> float:
        return len(self.delays_s) / max(1, self.spoken_count)


def wakes(engine: WakeEngine, pcm: Pcm) -> Iterator[float]:
    """The times at which the engine fires, in seconds from the start, at most one per refractory
    time.
    """
    last_s = -REFRACTORY_S
    size = engine.frame_samples
    for start in range(0, len(pcm) - size + 1, size):
        at_s = (start + size) / HEARING_HZ
        if engine.hear(pcm[start : start + size]) and at_s - last_s >= REFRACTORY_S:
            last_s = at_s
            yield at_s


def hits(phrase: str, sensitivity: float, snr_db: float, rates: tuple[int, ...]) -> Hits:
    """The phrase by every voice at every rate, each to a new wake engine."""
    delays = []
    spoken_count = 0
    for voice in VOICES:
        for rate in rates:
            spoken = say(phrase, voice, rate)
            pcm = with_noise(
                np.concatenate([pause(1.0), spoken.samples, pause(1.0)]), snr_db, seed=spoken_count
            )
            engine = MicroWakeWord(phrase, sensitivity)
            fired = next(wakes(engine, pcm), None)
            engine.close()
            spoken_count += 1
            if fired is not None:
                delays.append(fired - 1.0 - spoken.end_s)
    return Hits(spoken_count, tuple(delays))


def hints(engine: WakeEngine, pcm: Pcm) -> Iterator[tuple[float, bool]]:
    """The times, in seconds from the start, at which the engine fires (True) or gives a hint
    (False).
    """
    size, before = engine.frame_samples, (False, False)
    for start in range(0, len(pcm) - size + 1, size):
        now = (engine.hear(pcm[start : start + size]), engine.hint)
        for fires, was, is_so in zip((True, False), before, now, strict=True):
            if is_so and not was:
                yield (start + size) / HEARING_HZ, fires
        before = now


def lead_ms(phrase: str) -> list[float]:
    """Milliseconds from the first hint to the wake, by every voice at every rate."""
    leads = []
    for number, voice in enumerate(VOICES):
        for rate in RATES_WPM:
            samples = [pause(1.0), say(phrase, voice, rate).samples, pause(1.0)]
            engine = MicroWakeWord(phrase)
            found = list(hints(engine, with_noise(np.concatenate(samples), 20.0, seed=number)))
            engine.close()
            fired = next((at_s for at_s, fires in found if fires), None)
            hint = next((at_s for at_s, fires in found if not fires), None)
            if fired is not None and hint is not None:
                leads.append(1000 * (fired - hint))
    return leads


def hints_a_minute(speech: Pcm) -> dict[str, float]:
    """Hints a minute on `speech`, which contains none of the phrases."""
    rates = {}
    for phrase in DELAY_S:
        engine = MicroWakeWord(phrase)
        count = sum(not fires for _, fires in hints(engine, speech))
        engine.close()
        rates[phrase] = round(count / len(speech) * HEARING_HZ * 60, 2)
    return rates


def speech_without(texts: Sequence[str], minutes: float, seed: int) -> Pcm:
    """Speech without any of the phrases: random texts, voices and rates."""
    draw = np.random.default_rng(seed)
    parts: list[Samples] = []
    length = 0
    while length < minutes * 60 * HEARING_HZ:
        text = str(draw.choice(texts))
        voice = str(draw.choice(VOICES))
        rate = int(draw.choice(RATES_WPM))
        parts += [say(text, voice, rate).samples, pause(float(draw.uniform(0.2, 0.8)))]
        length += len(parts[-1]) + len(parts[-2])
    return with_noise(np.concatenate(parts), 25.0, seed)


def false_wakes(speech: Pcm, sensitivities: Sequence[float]) -> dict[str, float]:
    """Wakes an hour on `speech`, which contains none of the phrases, by phrase and sensitivity."""
    rates = {}
    for phrase in DELAY_S:
        for sensitivity in sensitivities:
            engine = MicroWakeWord(phrase, sensitivity)
            count = sum(1 for _ in wakes(engine, speech))
            engine.close()
            rates[f"{phrase} {sensitivity:g}"] = round(count / len(speech) * HEARING_HZ * 3600, 2)
    return rates


def through_a_room(played: Phrase, delay_s: float, gain: float, seed: int) -> Samples:
    """A loudspeaker as a microphone hears it: delayed, quieter, with 0.3 s of reverberation."""
    draw = np.random.default_rng(seed)
    count = round(0.3 * HEARING_HZ)
    response = draw.normal(0.0, 1.0, count) * np.exp(-6.9 * np.arange(count) / count)
    response[0] = 5.0
    size = len(played.samples) + count
    spectrum = np.fft.rfft(played.samples, size) * np.fft.rfft(response, size)
    wet = np.fft.irfft(spectrum, size)[: len(played.samples)]
    wet *= np.sqrt(np.mean(np.square(played.samples)) / np.mean(np.square(wet)))
    heard: Samples = np.concatenate([pause(1.0 + delay_s), wet * gain, pause(1.0)])
    return (heard + draw.normal(0.0, 0.0005, len(heard))).astype(np.float32)


def correlation(played: Samples, heard: Samples, phrase: str) -> float | None:
    """How similar the sound that the wake engine took for `phrase` is to what was played.

    None if the wake engine did not fire.
    """
    guard, engine = EchoGuard(HEARING_HZ), MicroWakeWord(phrase)
    step, pcm = round(STEP_S * HEARING_HZ), to_pcm(heard)
    fired: float | None = None
    for start in range(0, len(pcm) - step + 1, step):
        block = played[start : start + step]
        if len(block) == step:
            guard.played(np.stack([block, block], axis=1), start / HEARING_HZ)
        at_s = (start + step) / HEARING_HZ
        guard.heard(Sound(pcm[start : start + step], at_s))
        if fired is None and next(wakes(engine, pcm[start : start + step]), None) is not None:
            fired = guard.correlation(at_s - engine.delay_s - WINDOW_S, at_s - engine.delay_s)
    engine.close()
    return fired


def echoes(phrases: tuple[str, ...]) -> dict[str, Any]:
    """Count wakes by the engine's own voice, and wakes by the wearer while the engine speaks."""
    own: list[float] = []
    theirs: list[float] = []
    other = say("Three people: one left, two meters. Bus ahead, four meters.", "gmw/en-us", 190)
    for phrase in phrases:
        for number, voice in enumerate(VOICES):
            for delay_s in (0.06, 0.15, 0.3):
                gain = (0.1, 0.3, 1.0)[number % 3]
                speech = say(phrase, voice, 160)
                played = np.concatenate([pause(1.0), speech.samples, pause(1.5)])
                found = correlation(played, through_a_room(speech, delay_s, gain, number), phrase)
                own += [] if found is None else [found]
                echo = through_a_room(other, delay_s, (0.0, 0.03, 0.1)[number % 3], number)
                at = round((1.2 + 0.1 * number) * HEARING_HZ)
                mixed = np.concatenate([echo, pause(1.5)])
                mixed[at : at + len(speech.samples)] += speech.samples
                played = np.concatenate([pause(1.0), other.samples, pause(1.5)])
                found = correlation(played, mixed, phrase)
                theirs += [] if found is None else [found]
    return {
        "own_voice_heard": len(own),
        "own_voice_woke": sum(value < OWN_VOICE for value in own),
        "wearer_heard": len(theirs),
        "wearer_taken_for_own_voice": sum(value >= OWN_VOICE for value in theirs),
    }


def commands() -> dict[str, Any]:
    """Count commands understood and misunderstood, and other speech taken for a command."""
    spoken = command_grammar("en", {label: label for label in LABELS})
    recogniser = PocketSphinx(spoken)
    right = wrong = false = command_count = none = 0
    for text in (*COMMANDS, *NOT_COMMANDS):
        for number, voice in enumerate(VOICES):
            samples = [pause(0.5), say(text, voice, 160).samples, pause(1.0)]
            pcm = with_noise(np.concatenate(samples), 25.0, number)
            recogniser.begin()
            size = recogniser.frame_samples
            frames = (pcm[at : at + size] for at in range(0, len(pcm) - size + 1, size))
            heard = next((text for text in map(recogniser.hear, frames) if text is not None), "")
            command = spoken.parse(heard)
            if text in NOT_COMMANDS:
                none += 1
                false += command is not None
                continue
            command_count += 1
            right += command == spoken.parse(text)
            wrong += command is not None and command != spoken.parse(text)
    return {
        "commands_said": command_count,
        "commands_right": right,
        "commands_wrong": wrong,
        "other_speech": none,
        "other_speech_taken": false,
    }


def report_hints(speeches: dict[str, Pcm], console: Console) -> dict[str, Any]:
    """Print how long a hint precedes the wake, and how often on speech without the phrase."""
    found_ms = {phrase: lead_ms(phrase) for phrase in DELAY_S}
    leads = {
        phrase: [round(float(v)) for v in np.percentile(found, [10, 50, 90])]
        for phrase, found in found_ms.items()
        if found
    }
    text = ", ".join(f"{name} {mid} ({low} to {high})" for name, (low, mid, high) in leads.items())
    console.print(f"a hint comes before the wake, ms, p50 (p10 to p90): {text}")
    hints = {kind: hints_a_minute(speech) for kind, speech in speeches.items()}
    for kind, each in hints.items():
        text = ", ".join(f"{name} {value:g}" for name, value in each.items())
        console.print(f"hints a minute of {kind}: {text}")
    return {"hint_before_ms_p10_p50_p90": leads, "hints_a_minute": hints}


def report_hits(
    sensitivities: Sequence[float], console: Console
) -> tuple[dict[str, dict[str, float]], dict[str, list[float]]]:
    """Print the hit rates by noise and the delays; returns both by phrase and sensitivity, the
    delays as (p5, p50, p95) in milliseconds."""
    title = f"heard, by noise (dB under the voice); {len(VOICES)} voices"
    noises = (f"{snr:g}" for snr in SNR_DB)
    table = table_of(title, "phrase", "sensitivity", *noises, "delay p50 / p5–p95, ms")
    rates: dict[str, dict[str, float]] = {}
    delays_ms: dict[str, list[float]] = {}
    for phrase in DELAY_S:
        for sensitivity in sensitivities:
            found = {snr: hits(phrase, sensitivity, snr, RATES_WPM) for snr in SNR_DB}
            delays = [1000 * d for hit in found.values() for d in hit.delays_s]
            low, mid, high = np.percentile(delays, [5, 50, 95]) if delays else (0.0, 0.0, 0.0)
            table.add_row(
                phrase,
                f"{sensitivity:g}",
                *(f"{hit.rate:.0%}" for hit in found.values()),
                f"{mid:.0f} / {low:.0f}–{high:.0f}",
            )
            key = f"{phrase} {sensitivity:g}"
            rates[key] = {f"{snr:g}": round(hit.rate, 4) for snr, hit in found.items()}
            delays_ms[key] = [round(float(v), 1) for v in (low, mid, high)]
    console.print(table)
    return rates, delays_ms


def report(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure everything; return what the last line says."""
    sensitivities = (0.5, args.sensitivity)
    rates, delays_ms = report_hits(sensitivities, console)
    speeches = {
        kind: speech_without(texts, args.minutes, seed=1)
        for kind, texts in (("texts", TEXTS), ("near phrases", NEAR_PHRASES))
    }
    early = report_hints(speeches, console)
    false = {kind: false_wakes(speech, sensitivities) for kind, speech in speeches.items()}
    for kind, hourly in false.items():
        console.print(
            f"false wakes an hour, over {args.minutes:g} minutes of {kind}: "
            + ", ".join(f"{name} {value:g}" for name, value in hourly.items())
        )
    echo = echoes(("okay nabu", "alexa"))
    console.print(
        f"own voice saying the phrase: heard {echo['own_voice_heard']} times, woke it "
        f"{echo['own_voice_woke']} times; the wearer, while it spoke: heard {echo['wearer_heard']} times, "
        f"taken for its own voice {echo['wearer_taken_for_own_voice']} times"
    )
    understood = commands()
    console.print(
        f"commands: {understood['commands_right']} of {understood['commands_said']} right, "
        f"{understood['commands_wrong']} wrong; of {understood['other_speech']} other sentences "
        f"{understood['other_speech_taken']} taken for a command"
    )
    default = "okay nabu 0.5"
    return {
        "hit_rate": rates,
        "delay_ms_p5_p50_p95": delays_ms,
        **early,
        "false_wakes_per_hour": false,
        "minutes": args.minutes,
        "okay_nabu": {
            "hit_rate": round(median(rates[default].values()), 4),
            "false_wakes_per_hour": false["texts"][default],
            "delay_ms": delays_ms[default][1],
        },
        **echo,
        **understood,
    }


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.quality.wake_words", __doc__)
    parser.add_argument("--minutes", type=float, default=40.0, help="of each kind of speech")
    parser.add_argument("--sensitivity", type=float, default=0.8, help="to compare with 0.5")
    args = parser.parse_args(arguments)
    if not 0.1 <= args.minutes <= 600:
        parser.error(f"--minutes: expected 0.1 to 600, got {args.minutes}")
    if not 0.1 <= args.sensitivity <= 1.0:
        parser.error(f"--sensitivity: expected 0.1 to 1, got {args.sensitivity}")
    console = Console(highlight=False)
    console.print(hardware_line())
    card = hardware()
    return last_line("experiments.quality.wake_words", lambda: report(args, console) | card)


if __name__ == "__main__":
    sys.exit(main())
