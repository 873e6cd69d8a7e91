"""The direction of imports: which room may import which, and no cycle anywhere.

The table is the architecture. A new arrow between rooms is a decision: make it here, on purpose.
"""

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Room → the rooms that it may import, besides itself. `core` is open to all of engine.
ROOMS: dict[str, set[str]] = {
    "engine.core": set(),
    "engine.language": {"engine.core"},
    "engine.audio": {"engine.core"},
    "engine.perception": {"engine.core"},
    "engine.alerts": {"engine.core", "engine.perception"},
    "engine.listening": {"engine.core", "engine.language"},
    "engine.recording": {"engine.core"},
    "engine.answering": {"engine.core", "engine.language", "engine.perception"},
    "engine.devices": {"engine.core", "engine.language", "engine.audio", "engine.perception"},
    "engine.config": {"engine.core", "engine.language"},
    "engine.evaluation": {
        "engine.core",
        "engine.config",
        "engine.language",
        "engine.perception",
        "engine.recording",
        "engine.answering",
    },
    "routers": {"engine.core", "engine.language", "engine.perception"},
    "models": {"engine.core", "engine.language"},
    "engine.app": {
        "engine",
        "engine.core",
        "engine.language",
        "engine.audio",
        "engine.perception",
        "engine.alerts",
        "engine.listening",
        "engine.recording",
        "engine.answering",
        "engine.devices",
        "engine.config",
        "engine.evaluation",
        "routers",
        "models",
    },
    "engine.doctor": {"engine", "engine.core", "engine.devices", "engine.config", "models"},
    "engine.__main__": {
        "engine.core",
        "engine.app",
        "engine.evaluation",
    },
    "engine": set(),
}


def modules() -> dict[str, Path]:
    """Dotted name → file, of every module that ships or is run from the checkout."""
    found = {}
    for top in ("engine", "routers", "models", "experiments"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def room_of(module: str) -> str:
    """The longest name in ROOMS that `module` is, or lies in; "" outside of all of them."""
    inside = (room for room in ROOMS if module == room or module.startswith(f"{room}."))
    found = max(inside, key=len, default="")
    return found if found != "engine" or module == "engine" else module


@cache
def imports() -> dict[str, set[str]]:
    """Module → the modules of ours that it imports, those within functions included."""
    known = modules()
    return {name: set(_imported(name, path, known)) for name, path in known.items()}


def _imported(name: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: expected absolute imports, got a relative one"
            assert node.module is not None
            # `from package import module` names a module, `from module import name` does not
            targets = [
                full if (full := f"{node.module}.{alias.name}") in known else node.module
                for alias in node.names
            ]
        else:
            continue
        yield from (target for target in targets if target in known and target != name)


def test_every_import_follows_the_direction() -> None:
    wrong = [
        f"{name} imports {target}"
        for name, targets in imports().items()
        for target in sorted(targets)
        if (room := room_of(name)) in ROOMS
        and room_of(target) != room
        and room_of(target) not in ROOMS[room]
    ]
    assert not wrong, "imports against the stated direction:\n" + "\n".join(wrong)


def test_every_module_of_the_engine_lies_in_a_room() -> None:
    homeless = [
        name
        for name in modules()
        if name.split(".")[0] in ("engine", "routers", "models") and room_of(name) not in ROOMS
    ]
    assert not homeless


def test_no_module_imports_itself_through_others() -> None:
    """Packages' `__init__` count as modules; a package's own modules may import from it."""
    graph = {
        name: {target for target in targets if not name.startswith(f"{target}.")}
        for name, targets in imports().items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("modules import one another in a circle: " + " → ".join(error.args[1]))


def test_rooms_have_no_import_cycle() -> None:
    TopologicalSorter(ROOMS).prepare()  # raises CycleError


def test_nothing_that_ships_imports_experiments_or_tests() -> None:
    for name, path in modules().items():
        if name.startswith("experiments"):
            continue
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module:
                assert node.module.split(".")[0] not in ("experiments", "tests"), name


FRAMEWORKS = {"torch", "torchvision", "ultralytics", "timm", "transformers", "safetensors"}


def test_the_runtime_imports_no_training_framework() -> None:
    """Nor does any module of ours that it imports: a start on a CPU takes no time for them."""
    runtimes = ("models.runtime", "models.fastvlm.openvino.runtime", "models.fastvlm.chat")
    reached, ahead = set(), {name for name in modules() if name.startswith(runtimes)}
    while ahead:
        reached |= ahead
        ahead = {target for name in ahead for target in imports()[name]} - reached
    wrong = [
        f"{name} imports {library}"
        for name in sorted(reached - {"models"})
        for library in sorted(_libraries(modules()[name]) & FRAMEWORKS)
    ]
    assert not wrong, "expected no training framework:\n" + "\n".join(wrong)


def _libraries(path: Path) -> set[str]:
    """The top packages that a file imports, within functions too."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    found = {a.name.split(".")[0] for n in nodes if isinstance(n, ast.Import) for a in n.names}
    return found | {
        n.module.split(".")[0] for n in nodes if isinstance(n, ast.ImportFrom) if n.module
    }
