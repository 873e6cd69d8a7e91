"""Describes a frame in words with FastVLM: a frame in, clauses of text out.

An encoder and a decoder of any runtime do the work (see models/fastvlm). Generation is greedy and
runs in the caller's thread, so closing the iterator stops it at once. Knows nothing of routes,
voices or deadlines.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from itertools import chain
from pathlib import Path
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
    in_one_line,
)
from engine.core.extras import pip_install
from engine.core.ports import Describer
from engine.core.preferences import Language
from engine.core.report import ModelCard
from models import quiet_offline
from models.clauses import clauses
from models.devices import limit_threads
from models.fastvlm.chat import CHAT_JSON, TOKENIZER_JSON, Chat
from models.fastvlm.checkpoint import load_model
from models.fastvlm.custom_checkpoint import find_checkpoint, languages_of
from models.fastvlm.detokenize import text_pieces
from models.fastvlm.forms import find_chat
from models.fastvlm.inputs import square_pixels
from models.fastvlm.processor import load_chat, patch_px
from models.fastvlm.selection import DescriberOptions, open_parts
from models.packs import PackFiles, choose_form
from models.runtime.memory import is_out_of_memory


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
    """The describer of a pack, or of the checkpoint at `path`, warmed up; see FastVlmDescriber.

    If memory is insufficient, returns a describer that raises OutOfMemory at every request: the
    engine still starts, and its quick tier answers. Raises MissingPart if a requested part is
    missing.
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
    """Replaces a describer that did not fit into memory: raises OutOfMemory at every request."""

    def __init__(self, card: ModelCard, reason: str) -> None:
        self.card = card
        self._reason = reason

    def look(self, frame: Frame, prompt: str | None = None) -> Iterator[None]:
        """Does nothing."""
        yield from ()

    def stop(self) -> None:
        """Does nothing."""

    def describe(
        self,
        frame: Frame,
        on_first_token: Callable[[], None] | None = None,
        prompt: str | None = None,
    ) -> Iterator[str]:
        raise OutOfMemory(self._reason)


@dataclass(slots=True)
class PrefetchedAnswer:
    """Results prefetched for a frame before a description was requested."""

    frame: Frame
    features: Any
    ids: tuple[int, ...]  # of the prompt
    tokens: list[int]  # generated so far
    rest: Iterator[int]  # generates the remaining ones


class FastVlmDescriber:
    """Describes frames; to be used from one thread.

    `image_size`: the side in pixels of the square that the encoder sees (None: the checkpoint's
    own). `language`: the language of the answers. `options`: which runtimes to use. Raises
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
        form = choose_form(files, backend, self._device)[1]
        folder = files.root / form

        whole = cache(lambda: files.open(form))  # checks every file once

        def check(exported: Path) -> None:
            if exported.is_relative_to(files.root):
                whole()

        def load(dtype: Any) -> Any:
            whole()
            limit_threads(threads)
            return load_model(folder, dtype)

        settings = files.settings()
        self.max_new_tokens = max_new_tokens
        self._language = language
        self._prefetched: PrefetchedAnswer | None = None
        self._prompt: str = settings["prompt"]
        try:
            self.chat = open_chat(files, form)
            side_px = self.chat.side_px if image_size is None else image_size
            _check_patches(side_px, self.chat.patch_px)
            self.prompt_ids = lru_cache(64)(partial(self.chat.ids, side_px=side_px))
            self.ends = self.chat.greedy.ends
            parts = open_parts(
                folder,
                self._device,
                options,
                load,
                self.chat.greedy,
                side_px=side_px,
                limit=max_new_tokens + 1,
                large=bool(settings.get("large")),
                threads=threads,
                check=check,
            )
            self.encoder, self.decoder = parts.encoder, parts.decoder
            self._warm_up()
        except PromptTooLong as error:
            raise ConfigError(f"models.describer.image_size={side_px}: {error}") from None
        except EngineError:
            raise
        except ImportError as error:
            raise MissingPart(
                f"{files.pack} describer in torch: {in_one_line(error)}; run: "
                f"{pip_install('torch')}, or export it elsewhere: "
                f"python -m models export --checkpoint {folder}"
            ) from None
        except Exception as error:  # safetensors, tokenizers and transformers have their own
            self._free_gpu_memory()
            if is_out_of_memory(error):
                raise OutOfMemory(self._memory_message()) from error
            raise MissingPart(
                f"{files.pack} describer: {folder}: expected a FastVLM checkpoint in Apple's "
                f"layout or transformers' own, got {in_one_line(error)}; to repair it: {files.remedy}"
            ) from None
        self.card = _card(files, self._device, parts.label("runtime"), parts.label("precision"))

    def describe(
        self,
        frame: Frame,
        on_first_token: Callable[[], None] | None = None,
        prompt: str | None = None,
    ) -> Iterator[str]:
        """Yield speakable clauses, each as soon as it is complete.

        `on_first_token` is called once, when the first token is known. `prompt` is the user's turn
        of the chat (None: the pack's). Closing the iterator stops the generation. Raises
        OutOfMemory, PromptTooLong or DescriberFailed, with a message of one line.
        """
        has_text = False
        try:
            with closing(self._pieces(frame, on_first_token, prompt)) as pieces:
                for clause in clauses(pieces, self._language):
                    has_text = True
                    yield clause
        except PromptTooLong:
            raise
        except Exception as error:  # any error of the runtime: the template answers instead
            self._free_gpu_memory()
            if is_out_of_memory(error):
                raise OutOfMemory(self._memory_message()) from error
            raise DescriberFailed(f"the describer failed: {in_one_line(error)}") from error
        if not has_text:
            raise DescriberFailed("the describer failed: it produced no usable text")

    def look(self, frame: Frame, prompt: str | None = None) -> Iterator[None]:
        """Prefetch: encode `frame`, then generate one token per step; see
        engine.core.ports.Describer."""
        self._prefetched = None
        ids = self._ids(prompt)
        features = self._encode(frame)
        answer = PrefetchedAnswer(frame, features, ids, [], self._generate(ids, features))
        self._prefetched = answer
        yield
        try:
            for token in answer.rest:
                answer.tokens.append(token)
                yield
        except Exception:  # a later `describe` of the frame starts again
            self._prefetched = None
            raise

    def tokens(self, frame: Frame, prompt: str | None = None) -> Iterator[int]:
        """Token ids of an answer: up to an end token, or one more than become text. Uses what was
        prefetched for the same frame and prompt, or the features of the same frame."""
        ids = self._ids(prompt)
        answer, self._prefetched = self._prefetched, None
        if answer is None or answer.frame is not frame:
            return self._generate(ids, self._encode(frame))
        if answer.ids != ids:
            return self._generate(ids, answer.features)
        return chain(answer.tokens, answer.rest)

    def _ids(self, prompt: str | None) -> tuple[int, ...]:
        return self.prompt_ids(self._prompt if prompt is None else prompt)

    def _encode(self, frame: Frame) -> Any:
        return self.encoder.encode(square_pixels(frame.image, self.encoder.side_px))

    def _generate(self, ids: tuple[int, ...], features: Any) -> Iterator[int]:
        return self.decoder.write(ids, features, self.max_new_tokens + 1)

    def stop(self) -> None:
        """Stop, from any thread: a process that ends while a network runs would abort."""
        self.encoder.stop()
        self.decoder.stop()

    def _pieces(
        self, frame: Frame, on_first_token: Callable[[], None] | None, prompt: str | None
    ) -> Generator[str, None, bool]:
        """The text piece by piece; returns whether the model ended it itself."""

        def tokens() -> Iterator[int]:
            for index, token in enumerate(self.tokens(frame, prompt)):
                if index == 0 and on_first_token is not None:
                    on_first_token()
                yield token

        return text_pieces(tokens(), self.chat.decode, self.ends, self.max_new_tokens)

    def _warm_up(self) -> None:
        """Generate one whole answer, so that one-time work does not delay the wearer's first
        one."""
        for _ in self.tokens(Frame(np.full((480, 640, 3), 128, np.uint8), 0.0, 0)):
            pass

    def _free_gpu_memory(self) -> None:
        """Release torch's unused GPU memory after a failure, which may have been caused by its
        lack."""
        if self._device == "cuda":
            import torch

            torch.cuda.empty_cache()

    def _memory_message(self) -> str:
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
        languages=languages_of(settings),
        takes_prompts=bool(settings.get("takes_prompts")),
    )


def open_chat(files: PackFiles, form: str) -> Chat:
    """The chat that was exported from the checkpoint, else the one that transformers reads from it.
    Raises MissingPart for a damaged export, and what `load_chat` raises."""
    checkpoint = files.root / form
    folder = find_chat(checkpoint)
    if folder is None:
        return load_chat(files.open(form))
    if folder == checkpoint:
        for name in (CHAT_JSON, TOKENIZER_JSON):
            files.open((folder / name).relative_to(files.root).as_posix())
    try:
        return Chat.open(folder)
    except Exception as error:  # tokenizers has no error class of its own
        raise MissingPart(
            f"{folder / CHAT_JSON}: expected the chat of a FastVLM checkpoint, got "
            f"{in_one_line(error)}; to repair it: {files.remedy}"
        ) from None


def check_image_size(files: PackFiles, side: int) -> None:
    """Raises ConfigError if `side` is not a multiple of the checkpoint's patch size; opens no
    weights. A checkpoint that cannot be read is left for the adapter to report."""
    form = next(iter(files.forms().values()))
    patch = patch_px(files.root / form)
    if patch is not None:
        _check_patches(side, patch)


def _check_patches(side: int, patch: int) -> None:
    if side % patch:
        raise ConfigError(
            f"models.describer.image_size: expected a multiple of {patch}, got {side}"
        )
