"""Compiles networks with OpenVINO and keeps the result, so that the next start is faster.

A compiled network is one file in `models.cache_home()/compiled`, with its checksum: OpenVINO does
not check what it imports. Knows no model.
"""

import hashlib
import json
import logging
import mmap
import os
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from engine.core.errors import in_one_line
from engine.core.files import PARTIAL, same_sha256_of, write_whole
from models import cache_home, quiet_openvino
from models.runtime.memory import limit_arenas

_log = logging.getLogger(__name__)
# A file is this header and what OpenVINO exported. 64 bytes keep the tensors in it aligned.
_MAGIC = b"scene-aria compiled network 1\n\0\0"  # 32 bytes; 32 of the sha256 follow
_HEADER = 64
_UNUSED_DAYS = 30  # files that no start has used for so long are deleted
# An imported network reads its weights from the mapped file, and OpenVINO keeps no reference to it.
_mapped: list[mmap.mmap] = []


def compiled_home() -> Path:
    """The folder of the compiled networks."""
    return cache_home() / "compiled"


@cache
def core() -> Any:
    """The process's openvino.Core."""
    quiet_openvino()
    limit_arenas()
    import openvino as ov

    return ov.Core()


def compile_model(
    model: Path | Callable[[], Any],
    *,
    sources: Sequence[Path] = (),
    variant: str = "",
    device: str = "CPU",
    keep: bool = True,
    **settings: Any,
) -> Any:
    """An openvino.CompiledModel of `model`: compiled now, or read from the user's cache folder.

    `model` is the path of an OpenVINO graph (`NAME.xml`, with its weights in `NAME.bin`). If the
    graph must first be made or changed, it is a function that returns an openvino.Model, and
    `sources` are the files that the function reads; it is called only if nothing is cached. `variant`
    is anything else that decides what it returns.
    `settings` are OpenVINO's properties, with plain values:

        compile_model(folder / "detector.xml", INFERENCE_NUM_THREADS=1)
        compile_model(joined, sources=[trunk, head], INFERENCE_PRECISION_HINT="f32")

    The file in the cache is named after the content of the graph and weights (or of the `sources`),
    the settings, the processor and OpenVINO's version. A damaged file, a full disk or a folder
    that cannot be written costs a compilation and one warning in the log. `keep=False` neither
    reads nor writes the cache.

    Raises OpenVINO's errors, or those of `model`, for a graph that cannot be read or compiled.
    """
    if not sources and isinstance(model, Path):
        sources = (model, model.with_suffix(".bin"))
    if keep and not sources:
        raise ValueError("expected the sources of a graph that is made by a function, got none")
    name = sources[0].stem if sources else ""
    place = None
    if keep:
        place = compiled_home() / f"{name}-{_key(sources, variant, device, settings)}.blob"
        if (kept := _read(place, device, settings)) is not None:
            return kept
    graph = core().read_model(model) if isinstance(model, Path) else model()
    compiled = core().compile_model(graph, device, settings)
    if place is not None:
        _write(place, compiled)
        # The graph and its weights are freed with the network that was compiled from them
        return _read(place, device, settings) or compiled
    return compiled


def release_pages() -> None:
    """Drop the mapped files of compiled networks from this process's resident memory. To be called
    after their first run, which copies most weights into packed buffers; what is needed again is
    read from the file. Does nothing where the system cannot do it."""
    if hasattr(mmap, "MADV_DONTNEED"):
        for content in _mapped:
            content.madvise(mmap.MADV_DONTNEED)


def _key(sources: Sequence[Path], variant: str, device: str, settings: dict[str, Any]) -> str:
    """Names a compiled network: the same key, the same result."""
    import openvino as ov

    facts = [
        ov.get_version(),
        core().get_property(device, "FULL_DEVICE_NAME"),
        sorted(core().get_property(device, "OPTIMIZATION_CAPABILITIES")),
        platform.machine(),
        os.cpu_count(),
        device,
        variant,
        sorted((name, str(value)) for name, value in settings.items()),
        [_digest(path) for path in sources if path.exists()],
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:32]


def _digest(path: Path) -> str:
    """The sha256 of a file, or of the files in a folder and their names."""
    if path.is_dir():
        rows = [[file.name, _digest(file)] for file in sorted(path.iterdir()) if file.is_file()]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    return same_sha256_of(path)


def _read(place: Path, device: str, settings: dict[str, Any]) -> Any:
    """The network in the file, or None if there is none that is whole."""
    import openvino as ov

    try:
        with place.open("rb") as stream:
            # copy on write: OpenVINO's tensors must be writable
            content = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_COPY)
        body = memoryview(content)[_HEADER:]
        if content[:_HEADER] != _MAGIC + hashlib.sha256(body).digest():
            raise ValueError("the file is damaged")
        data = np.frombuffer(content, np.uint8, offset=_HEADER)
        compiled = core().import_model(ov.Tensor(data, shared_memory=True), device, settings)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:  # OSError, ValueError of an empty file, and OpenVINO's own
        _warn(place, error, "compiled again")
        return None
    _mapped.append(content)
    with suppress(OSError):
        os.utime(place)  # still in use: see _delete_unused
    return compiled


def _write(place: Path, compiled: Any) -> None:
    """Keep a compiled network, whole or not at all."""
    try:
        body = compiled.export_model().getbuffer()
        _delete_unused(place.parent)
        write_whole(place, [_MAGIC + hashlib.sha256(body).digest(), body])
    except Exception as error:  # OSError, and OpenVINO's own
        # of several networks, one line: where one cannot be written, the others cannot either
        _warn_once(str(place.parent), str(getattr(error, "strerror", None) or in_one_line(error)))


def _delete_unused(folder: Path) -> None:
    oldest_s = time.time() - _UNUSED_DAYS * 86400
    for path in [*folder.glob("*.blob"), *folder.glob(f".*{PARTIAL}")]:
        with suppress(OSError):
            if path.stat().st_mtime < oldest_s:
                path.unlink()


@cache
def _warn_once(folder: str, why: str) -> None:
    _log.warning(
        "compiled networks are not kept in %s (%s), so each start compiles again; let it be written",
        folder, why,
    )  # fmt: skip


def _warn(place: Path, error: Exception, action: str) -> None:
    _log.warning("compiled network %s: %s; %s", place, in_one_line(error), action)
