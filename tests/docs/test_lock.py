"""The lock and the licence table hold what pyproject.toml asks for, and name no host."""

import re
import tomllib
from importlib.metadata import distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PINNED: dict[str, list[str]] = {}  # one version, or one for each kind of machine
for found in re.finditer(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", LOCK, re.MULTILINE):
    PINNED.setdefault(canonicalize_name(found[1]), []).append(found[2])


def test_the_lock_has_every_dependency_within_its_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for text in project["dependencies"]:
        needed = Requirement(text)
        versions = PINNED.get(canonicalize_name(needed.name))
        assert versions, f"{text} is not in requirements.lock: run `make lock`"
        for version in versions:
            assert needed.specifier.contains(version), f"{text}: locked {version}: run `make lock`"


def test_every_locked_package_has_a_hash() -> None:
    blocks = re.split(r"^(?=[A-Za-z0-9])", LOCK, flags=re.MULTILINE)[1:]
    assert len(blocks) == sum(map(len, PINNED.values())) > 100
    assert all("--hash=sha256:" in block for block in blocks)


def test_neither_names_a_host() -> None:
    for name in ("requirements.lock", "LICENCES.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert not re.search(r"https?:|index-url|find-links", text), name


def test_the_licence_table_lists_every_locked_package_that_is_installed() -> None:
    table = (ROOT / "LICENCES.md").read_text(encoding="utf-8")
    rows = [row.split("|") for row in table.splitlines() if row.startswith("|")][2:]
    listed = {canonicalize_name(row[1].strip()) for row in rows}
    installed = {canonicalize_name(item.metadata["Name"]) for item in distributions()}
    # these three are left out by the tool that writes the table, as they belong to every environment
    missing = (set(PINNED) & installed) - listed - {"pip", "setuptools", "wheel"}
    assert not missing, f"{sorted(missing)}: run `make licences`"
    assert all(row[3].strip() for row in rows)
