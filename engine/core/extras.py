"""Names the command that installs what a light install lacks. Imports nothing that is optional."""

from pathlib import Path

CHECKOUT = (Path(__file__).resolve().parents[2] / "pyproject.toml").is_file()


def pip_install(extra: str, checkout: bool = CHECKOUT) -> str:
    """The command that installs an extra of pyproject.toml, from a checkout or a package."""
    what = f"-e '.[{extra}]'" if checkout else f"'scene-aria[{extra}]'"
    return f"pip install {what}"
