"""Shared by the commands of `experiments/`: the hardware card, common options, timing, the final
JSON line.

Every command that measures prints its machine first and one line of JSON last, so that figures from
different machines can be compared. This module imports no framework, so that `--help` stays fast.
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from engine.core.errors import EngineError

DEFAULT_DATA = Path("../shared/data")  # the labelled sets; not part of the repository
PACKS = ("auto", "pocket", "hub")
DEVICES = ("auto", "cpu", "cuda", "mps")


def processor() -> str:
    """The processor's name, if the system reports it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def device_name(device: str) -> str:
    """The graphics card's name, or the processor's with its cores."""
    if device != "cuda":
        return f"{processor()}, {os.cpu_count()} cores"
    import torch

    return str(torch.cuda.get_device_name())


def hardware() -> dict[str, Any]:
    """The hardware card for the last line: processor, cores, and the one-minute load average."""
    return {"device": processor(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2)}


def machine() -> str:
    """Processor, cores and Python in words."""
    return f"{device_name('cpu')}, Python {platform.python_version()}"


def hardware_line() -> str:
    """The hardware card as the first printed line."""
    return f"{machine()}, load {os.getloadavg()[0]:.1f}"


def command_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """A parser for `python -m NAME` that prints `description`, a docstring, unchanged."""
    return argparse.ArgumentParser(
        prog=f"python -m {name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of labelled sets")


def add_pack(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pack", choices=PACKS, default="pocket", help="weights to measure")


def add_device(parser: argparse.ArgumentParser, choices: Sequence[str] = DEVICES) -> None:
    parser.add_argument("--device", choices=choices, default=choices[0])


def add_repeats(
    parser: argparse.ArgumentParser, default: int, what: str = "of each timing"
) -> None:
    parser.add_argument("--repeats", type=at_least_one, default=default, help=what)


def add_seed(parser: argparse.ArgumentParser, default: int = 0) -> None:
    parser.add_argument("--seed", type=int, default=default)


def at_least_one(text: str) -> int:
    """Parse an option's integer, which must be at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, got {text}")
    return value


def timed_ms(work: Callable[[], object]) -> float:
    """Wall-clock milliseconds of one call."""
    begin_s = time.perf_counter()
    work()
    return (time.perf_counter() - begin_s) * 1000


def table_of(title: str, *columns: str) -> Table:
    """An empty table whose first column is text and whose others are numbers."""
    table = Table(title=title)
    for place, column in enumerate(columns):
        table.add_column(column, justify="right" if place else "left")
    return table


def figures_table(title: str, columns: Mapping[Any, Mapping[str, float | None]]) -> Table:
    """One row for each figure, one column for each run; empty where a figure is None."""
    table = table_of(title, "figure", *columns)
    for key in next(iter(columns.values())):
        table.add_row(key, *(shown(column[key]) for column in columns.values()))
    return table


def shown(value: float | None) -> str:
    """A figure in a table."""
    return "" if value is None else f"{value:g}"


def last_line(name: str, measure: Callable[[], dict[str, Any]]) -> int:
    """Run `measure` and print what it returns as one line of JSON.

    Returns the exit status: 0, or 2 and one line on stderr if it raised an EngineError.
    """
    try:
        found = measure()
    except EngineError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    print(json.dumps(found))
    return 0
