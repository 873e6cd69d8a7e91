"""Measures how many tokens of each runtime equal those of torch in fp32, on the same weights.

`python -m experiments.fastvlm.agreement` lets transformers' `generate` in fp32 describe each
image, greedily until the end token, and compares every recipe with it: the share of tokens that
agree position by position, the share of identical answers, and the mean position of the first
mismatch in the others. By default it uses the pocket pack's describer, the sample's photo and
crops of it; --checkpoint takes any FastVLM, --pictures a folder.
It prints the table as Markdown.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from engine.core.errors import InputError, in_one_line
from engine.devices.video.sample import sample_photo
from experiments.common import add_device, command_parser, device_name, last_line
from experiments.fastvlm.bench import Bench, Question, blocks
from experiments.fastvlm.latency import export_missing, names
from experiments.fastvlm.recipes import Recipe, recipes
from models import quiet_offline
from models.devices import choose_device, limit_threads
from models.packs import POCKET

BACKENDS = ("torch", "openvino", "onnx", "hybrid")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
VIEWS = 6  # crops of each photo
CUT = 0.6  # side of a crop over that of the photo


@dataclass(frozen=True, slots=True)
class Agreement:
    """One recipe compared with torch in fp32; `why` is the reason if it could not be compared."""

    recipe: str
    why: str = ""
    share: float = 0.0  # of tokens that agree, over all answers
    same: float = 0.0  # share of identical answers
    # The mean position, from 0, of the first mismatch in answers that differ.
    first_difference: float | None = None
    answers: int = 0

    @classmethod
    def of(
        cls, recipe: str, got: Sequence[Sequence[int]], expected: Sequence[Sequence[int]]
    ) -> "Agreement":
        """Compare token by token. A position that only one of both answers has counts as a
        mismatch.
        """
        agreed = total = 0
        differ: list[int] = []
        for ours, theirs in zip(got, expected, strict=True):
            places = [a == b for a, b in zip(ours, theirs, strict=False)]
            longest = max(len(ours), len(theirs))
            agreed, total = agreed + sum(places), total + longest
            if sum(places) < longest:
                differ.append(places.index(False) if False in places else len(places))
        return cls(
            recipe, "", agreed / max(1, total), 1 - len(differ) / max(1, len(got)),
            fmean(differ) if differ else None, len(got),
        )  # fmt: skip


def pictures(folder: Path | None) -> list[NDArray[np.uint8]]:
    """The images, each (height, width, 3). Raises InputError for a folder without any."""
    from PIL import Image

    if folder is not None:
        paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in SUFFIXES)
        if not paths:
            raise InputError(f"--pictures {folder}: expected {', '.join(SUFFIXES)}, got none")
        return [np.array(Image.open(path).convert("RGB")) for path in paths]
    found = [np.array(Image.open(path).convert("RGB")) for path in photos()]
    return [*found, *[view for seed, photo in enumerate(found) for view in views(photo, seed)]] or [
        blocks(seed) for seed in range(2 * VIEWS)
    ]


def photos() -> list[Path]:
    """The sample's photo."""
    return [sample_photo()]


def views(photo: NDArray[np.uint8], seed: int) -> Iterator[NDArray[np.uint8]]:
    """Crops of a photo, every second one mirrored."""
    generator = np.random.default_rng(seed)
    height, width = (round(CUT * side) for side in photo.shape[:2])
    for number in range(VIEWS):
        top = int(generator.integers(photo.shape[0] - height + 1))
        left = int(generator.integers(photo.shape[1] - width + 1))
        part = photo[top : top + height, left : left + width]
        yield np.ascontiguousarray(part[:, ::-1] if number % 2 else part)


def reference(bench: Bench, questions: Sequence[Question]) -> list[tuple[int, ...]]:
    """The tokens of transformers' `generate` in fp32, including the end token."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    model = bench.model("fp32", "reference").to(bench.device)
    found = []
    for question in questions:
        ids = torch.tensor([question.ids], device=bench.device)
        with torch.inference_mode():
            whole = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids),
                pixel_values=torch.from_numpy(question.pixels).to(bench.device),
                max_new_tokens=bench.limit, do_sample=False,
            )  # fmt: skip
        found.append(tuple(int(token) for token in whole[0, len(question.ids) :]))
    return found


def compare(
    bench: Bench,
    recipe: Recipe,
    questions: Sequence[Question],
    expected: Sequence[tuple[int, ...]],
) -> Agreement:
    """Run one recipe. Catches every error, so that the other recipes still run."""
    try:
        opened = recipe.open(bench)
        opened.prepare(questions[0])
        got = [opened.answer(question, bench.limit).tokens for question in questions]
    except Exception as error:
        return Agreement(recipe.name, in_one_line(error))
    return Agreement.of(recipe.name, got, expected)


def agreements(
    bench: Bench, chosen: Sequence[Recipe], questions: Sequence[Question], console: Console
) -> list[Agreement]:
    expected = reference(bench, questions)
    found = []
    with Progress(console=console, transient=True) as progress:
        for recipe in progress.track(chosen, description="comparing"):
            bench.forget()  # recipes modify the model that they load
            found.append(compare(bench, recipe, questions, expected))
    bench.forget()
    return found


def markdown(found: Sequence[Agreement]) -> str:
    lines = [
        "| recipe | tokens that agree | same answers | first difference at | answers |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row in found:
        if row.why:
            lines.append(f"| {row.recipe} | {row.why.replace('|', '/')} | | | |")
            continue
        first = "" if row.first_difference is None else f"{row.first_difference:.1f}"
        lines.append(
            f"| {row.recipe} | {row.share:.1%} | {row.same:.0%} | {first} | {row.answers} |"
        )
    return "\n".join(lines)


def speaking(folder: Path | None, device: str, threads: int | None, tokens: int) -> Bench:
    """A bench whose answers end at an end token; the pocket pack's describer if `folder` is None."""
    prompt = {}
    if folder is None:
        folder = POCKET / "describer"
        settings = json.loads((POCKET / "describer.json").read_text(encoding="utf-8"))
        prompt = {"prompt": settings["prompt"]}
    return Bench(folder, device, threads, tokens, ends=True, **prompt)


def report(args: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Compare all recipes and print the table; return what the last line says."""
    quiet_offline()
    device = choose_device(args.device)
    limit_threads(args.threads)
    bench = speaking(args.checkpoint, device, args.threads, args.tokens)
    folder = bench.folder
    side = args.image_size or bench.chat.side_px
    questions = [bench.question(side, picture) for picture in pictures(args.pictures)]
    console.print(f"{device_name(device)}; {folder.name}, {side} px, {len(questions)} pictures")
    chosen = recipes(device, args.backends, compile_static=False)
    export_missing(bench, chosen, (side,), console)
    found = agreements(bench, chosen, questions, console)
    console.print(markdown(found), soft_wrap=True, markup=False)
    return {
        "device": device_name(device),
        "checkpoint": folder.name,
        "image_size": side,
        "tokens": args.tokens,
        "pictures": len(questions),
        "agreement": {row.recipe: asdict(row) for row in found},
    }


def main(arguments: list[str] | None = None) -> int:
    parser = command_parser("experiments.fastvlm.agreement", __doc__)
    parser.add_argument("--checkpoint", type=Path, help="FastVLM's folder instead of the pocket's")
    parser.add_argument("--pictures", type=Path, help="a folder of images")
    parser.add_argument(
        "--image-size", type=int, help="pixels per side (default: the checkpoint's)"
    )
    parser.add_argument("--tokens", type=int, default=16, help="of an answer, at most")
    parser.add_argument("--backends", type=names, default=BACKENDS, help=",".join(BACKENDS))
    add_device(parser, ("auto", "cpu", "cuda"))
    parser.add_argument("--threads", type=int)
    args = parser.parse_args(arguments)
    return last_line(
        "experiments.fastvlm.agreement", lambda: report(args, Console(highlight=False))
    )


if __name__ == "__main__":
    sys.exit(main())
