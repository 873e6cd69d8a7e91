"""Every command of `experiments/` prints its help without data, and quickly."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Without pocket/: its trainers import torch and Ultralytics.
COMMANDS = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "experiments").rglob("*.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8") and path.parent.name != "pocket"
)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_names_the_command_and_explains_it(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    module = importlib.import_module(command)
    with pytest.raises(SystemExit) as ended:
        module.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: python -m {command.removesuffix('.__main__')} ")
    assert module.__doc__ is not None
    assert module.__doc__.splitlines()[0] in text


@pytest.mark.command
def test_help_imports_no_framework() -> None:
    frameworks = {"torch", "openvino", "transformers", "ultralytics", "timm", "onnx", "sklearn"}
    done = subprocess.run(
        [
            sys.executable, "-c",
            f"import sys, importlib; [importlib.import_module(name) for name in {COMMANDS}];"
            f"print(sorted({frameworks} & set(sys.modules)))",
        ],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
