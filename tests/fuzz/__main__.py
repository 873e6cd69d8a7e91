"""`python -m tests.fuzz MINUTES [TARGET]`: feed broken files to every reader, for hours.

Each target runs in a process of its own, so that a crash of a native library is seen. With Atheris
(`pip install atheris`) the search follows the code that is covered; without it, Hypothesis draws at
random. What fails is written to `fuzz/`, and the status is 1.
"""

import importlib
import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

FOUND = Path("fuzz")
OURS = ["engine", "models"]  # whose coverage guides the search
GRACE_S = 120.0  # a target that takes so much longer hangs


def fuzz(name: str, seconds: float) -> None:
    """Fuzz one target in this process; whatever it raises ends it."""
    atheris = _atheris()
    with nullcontext() if atheris is None else atheris.instrument_imports(include=OURS):
        from tests.fuzz.targets import TARGETS, check, strategy

    target = TARGETS[name]
    folder = Path(tempfile.mkdtemp())
    contents = strategy(target, folder)
    last = _last(name)
    FOUND.mkdir(exist_ok=True)

    @settings(
        max_examples=200,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(content=contents)
    def run(content: bytes) -> None:
        last.write_bytes(content)  # before it is read: a crash leaves no other trace
        check(target, folder, content)

    if atheris is None:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            run()
        return
    one_input = vars(run)["hypothesis"].fuzz_one_input
    corpus = Path(tempfile.mkdtemp())
    for number in range(32):  # Hypothesis rejects the short inputs that libFuzzer would begin with
        (corpus / str(number)).write_bytes(os.urandom(1024 + 96 * number))
    limit = f"-max_total_time={max(1, round(seconds))}"
    arguments = [sys.argv[0], limit, "-verbosity=0", "-len_control=0", str(corpus)]
    atheris.Setup(arguments, one_input)
    atheris.Fuzz()


def _last(name: str) -> Path:
    """Where the content that was read last is kept."""
    return FOUND / f"{name.replace(' ', '_')}.bin"


def _atheris() -> Any:
    """The package, or None if it is not installed."""
    try:
        return importlib.import_module("atheris")
    except ImportError:
        return None


def main() -> int:
    from tests.fuzz.targets import TARGETS

    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    names = sys.argv[2:] or list(TARGETS)
    seconds = 60 * minutes / len(names)
    failed = []
    for name in names:
        print(f"{name}: {seconds:.0f} s", flush=True)
        program = f"from tests.fuzz.__main__ import fuzz; fuzz({name!r}, {seconds})"
        try:
            done = subprocess.run(
                [sys.executable, "-c", program], timeout=seconds + GRACE_S, check=False
            )
            status = done.returncode
        except subprocess.TimeoutExpired:
            status = -1
        last = _last(name)
        if status:
            failed.append(f"{name} (status {status}): {last}")
        else:
            last.unlink(missing_ok=True)
    print("\n".join(failed) or "nothing failed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
