"""Describes a frame in words, by FastVLM: pixels and ids in, clauses out.

An encoder and a decoder of whichever runtime do the work (models/fastvlm). Writes greedily in the
caller's thread, so that closing the iterator stops at once. Knows nothing of routes, voices or
deadlines.
"""

import re
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from engine.core.camera import Frame
from engine.core.errors import (
    ConfigError,
    DescriberFailed,
    EngineError,
    MissingPart,
    OutOfMemory,
    PromptTooLong,
)
from engine.core.ports import Describer
from engine.core.preferences import Language
from engine.core.report import ModelCard
from models import quiet_offline
from models.clauses import clauses
from models.devices import limit_threads
from models.fastvlm.checkpoint import generation_config, load_model, load_processor, patch_px
from models.fastvlm.custom_checkpoint import find_checkpoint
from models.fastvlm.greedy import Greedy
from models.fastvlm.inputs import Prompts, own_side_px, square_pixels
from models.fastvlm.selection import DescriberOptions, open_parts
from models.packs import PackFiles, choose_form

NO_MEMORY = re.compile(r"(can't|failed to) allocate|bad.?alloc|out of memory|ALLOC_FAILED", re.I)


def open_describer(
    pack: str = "auto",
    device: str = "auto",
    backend: str = "auto",
    threads: int | None = None,
    *,
    max_new_tokens: int = 16,
    image_size: int | None = None,
    language: Language = "en",
    path: str | None = None,
    options: DescriberOptions | None = None,
) -> Describer:
    """The describer of a pack, or of the checkpoint at `path`, warm; see FastVlmDescriber.

    Where memory does not suffice, one that says so whenever it is asked: the engine starts all the
    same, and its quick tier answers. Raises MissingPart for what is asked for and not here.
    """
    files = find_checkpoint(pack, path)
    try:
        return FastVlmDescriber(
            files,
            device,
            backend,
            threads,
            max_new_tokens=max_new_tokens,
            image_size=image_size,
            language=language,
            options=options,
        )
    except OutOfMemory as error:
        return NoMemoryDescriber(_card(files, device, "none", "none"), str(error))


class NoMemoryDescriber:
    """Stands in for a describer that did not fit: raises OutOfMemory when asked."""

    def __init__(self, card: ModelCard, why: str) -> None:
        self.card = card
        self._why = why

    def look(self, frame: Frame, prompt: str | None = None) -> Iterator[None]:
        """Nothing to begin with."""
        yield from ()

    def describe(
        self,
        frame: Frame,
        on_first_token: Callable[[], None] | None = None,
        prompt: str | None = None,
    ) -> Iterator[str]:
        raise OutOfMemory(self._why)


@dataclass(slots=True)
class Ahead:
    """What has been done about a frame before anybody asked; `more` writes on."""

    frame: Frame
    features: Any
    ids: tuple[int, ...]  # of the prompt
    tokens: list[int]
    more: Iterator[int]


class FastVlmDescriber:
    """Describes frames; to be used from one thread.

    `image_size` is the side in pixels of the square that the encoder sees (None: the checkpoint's
    own); `language` is the one whose sentences it is to yield; `options` chooses the runtimes. Raises
    MissingPart, ConfigError and OutOfMemory.
    """

    def __init__(
        self,
        files: PackFiles,
        device: str = "auto",
        backend: str = "auto",
        threads: int | None = None,
        *,
        max_new_tokens: int = 16,
        image_size: int | None = None,
        language: Language = "en",
        options: DescriberOptions | None = None,
    ) -> None:
        quiet_offline()
        options = options or DescriberOptions()
        if options.runtime == "auto":
            options = replace(options, runtime=backend)
        self._device = options.device(device)
        folder = files.open(choose_form(files, backend, self._device)[1])
        limit_threads(threads)
        settings = files.settings()
        self._max_new_tokens = max_new_tokens
        self._language = language
        self._ahead: Ahead | None = None
        self._prompt: str = settings["prompt"]
        try:
            self._processor = load_processor(folder)
            side_px = own_side_px(self._processor) if image_size is None else image_size
            _refuse_cut_patches(side_px, int(self._processor.patch_size))
            self._prompts = Prompts(self._processor, side_px)
            greedy = Greedy.of(generation_config(folder))
            self._ends = greedy.ends
            halves = open_parts(
                folder,
                self._device,
                options,
                lambda dtype: load_model(folder, dtype),
                greedy,
                side_px=side_px,
                limit=max_new_tokens + 1,
                large=bool(settings.get("large")),
                threads=threads,
            )
            self._encoder, self._decoder = halves.encoder, halves.decoder
            self._warm_up()
        except PromptTooLong as error:
            raise ConfigError(f"models.describer.image_size={side_px}: {error}") from None
        except EngineError:
            raise
        except Exception as error:  # safetensors, tokenizers and transformers each have their own
            self._release()
            if _lacked_memory(error):
                raise OutOfMemory(self._without_memory()) from error
            raise MissingPart(
                f"{files.pack} describer: {folder}: expected a FastVLM checkpoint in Apple's "
                f"layout or transformers' own, got {_one_line(error)}; to mend it: {files.remedy}"
            ) from None
        self.card = _card(files, self._device, halves.told("runtime"), halves.told("precision"))

    def describe(
        self,
        frame: Frame,
        on_first_token: Callable[[], None] | None = None,
        prompt: str | None = None,
    ) -> Iterator[str]:
        """Yield finished, speakable clauses as soon as each is complete, greedy.

        `on_first_token` is called once, when the first token is known; `prompt` is the user's turn
        of the chat (None: the pack's own). Closing the iterator stops the generation. Raises
        OutOfMemory, PromptTooLong or DescriberFailed, with one line, whatever went wrong.
        """
        said = False
        try:
            with closing(self._pieces(frame, on_first_token, prompt)) as pieces:
                for clause in clauses(pieces, self._language):
                    said = True
                    yield clause
        except PromptTooLong:
            raise
        except Exception as error:  # the template answers instead, so nothing may pass
            self._release()
            if _lacked_memory(error):
                raise OutOfMemory(self._without_memory()) from error
            raise DescriberFailed(f"the describer failed: {_one_line(error)}") from error
        if not said:
            raise DescriberFailed("the describer failed: it gave no usable text")

    def look(self, frame: Frame, prompt: str | None = None) -> Iterator[None]:
        """Encode `frame`, then write about it, a token a step: see engine.core.ports.Describer."""
        self._ahead = None
        ids = self._ids(prompt)
        features = self._encode(frame)
        self._ahead = ahead = Ahead(frame, features, ids, [], self._write(ids, features))
        yield
        try:
            for token in ahead.more:
                ahead.tokens.append(token)
                yield
        except Exception:  # to be met again by who describes it
            self._ahead = None
            raise

    def tokens(self, frame: Frame, prompt: str | None = None) -> Iterator[int]:
        """Token ids as the decoder writes them: one more than may be said, or up to an end token."""
        ids = self._ids(prompt)
        ahead, self._ahead = self._ahead, None
        if ahead is None or ahead.frame is not frame:
            return self._write(ids, self._encode(frame))
        if ahead.ids != ids:
            return self._write(ids, ahead.features)
        return chain(ahead.tokens, ahead.more)

    def _ids(self, prompt: str | None) -> tuple[int, ...]:
        return self._prompts.ids(self._prompt if prompt is None else prompt)

    def _encode(self, frame: Frame) -> Any:
        return self._encoder.encode(square_pixels(frame.image, self._encoder.side_px))

    def _write(self, ids: tuple[int, ...], features: Any) -> Iterator[int]:
        return self._decoder.write(ids, features, self._max_new_tokens + 1)

    def _pieces(
        self, frame: Frame, on_first_token: Callable[[], None] | None, prompt: str | None
    ) -> Generator[str, None, bool]:
        """Text bit by bit; returns whether the model itself ended it."""
        said: list[int] = []
        text = ""
        for token in self.tokens(frame, prompt):
            if not said and on_first_token is not None:
                on_first_token()
            if token in self._ends:
                return True
            grown = self._decode([*said, token])
            if len(said) == self._max_new_tokens:
                # One step past the limit is never said; it tells whether the last word was whole.
                after = grown[len(text) : len(text) + 1]
                if after and not after.isalnum() and after not in "'-\ufffd":
                    yield f"{after} "
                return False
            said.append(token)
            if not grown.endswith("\ufffd"):  # half of a character of several tokens
                yield grown[len(text) :]
                text = grown
        return False

    def _decode(self, tokens: list[int]) -> str:
        text: str = self._processor.tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _warm_up(self) -> None:
        """A whole answer, so that the wearer's first one meets nothing that is done once."""
        for _ in self.tokens(Frame(np.full((480, 640, 3), 128, np.uint8), 0.0, 0)):
            pass

    def _release(self) -> None:
        """Give memory back after a failure, which may have been the lack of it."""
        if self._device == "cuda":
            import torch

            torch.cuda.empty_cache()

    def _without_memory(self) -> str:
        where = "graphics card" if self._device == "cuda" else self._device
        return (
            f"the describer found no memory on the {where}; use a smaller "
            "models.describer.image_size or mode=quick"
        )


def _card(files: PackFiles, device: str, backend: str, precision: str) -> ModelCard:
    settings = files.settings()
    return ModelCard(
        settings["name"],
        files.pack,
        device,
        backend,
        precision,
        languages=tuple(settings.get("languages") or ("en",)),
        takes_prompts=bool(settings.get("takes_prompts")),
    )


def check_image_size(files: PackFiles, side: int) -> None:
    """Raise ConfigError for a side that the checkpoint's processor could not give; opens no
    weights. What cannot be read here is refused by the adapter, by name."""
    form = next(iter(files.forms().values()))
    patch = patch_px(files.root / form)
    if patch is not None:
        _refuse_cut_patches(side, patch)


def _refuse_cut_patches(side: int, patch: int) -> None:
    if side % patch:
        raise ConfigError(
            f"models.describer.image_size: expected a multiple of {patch}, got {side}"
        )


def _lacked_memory(error: Exception) -> bool:
    """Torch has an error of its own for a graphics card; for a processor, no library has one."""
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or bool(
        NO_MEMORY.search(str(error))
    )


def _one_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:200]}" if text else type(error).__name__
