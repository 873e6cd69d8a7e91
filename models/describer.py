"""Describes a frame in words, by transformers' own FastVLM.

The only file that knows transformers. Writes greedily, one token after the other in the caller's
thread, so that closing the iterator stops at once. Knows nothing of routes, voices or deadlines.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import ConfigError, DescriberFailed, MissingPart, OutOfMemory
from engine.types import Frame, Language, ModelCard
from models import quiet_offline
from models.clauses import clauses
from models.devices import choose_device, choose_dtype, limit_threads, precision_name, synchronise
from models.fastvlm.checkpoint import load_checkpoint, patch_px
from models.packs import PackFiles, choose_form, find_pack


def open_describer(
    pack: str = "auto",
    device: str = "auto",
    backend: str = "auto",
    threads: int | None = None,
    *,
    max_new_tokens: int = 16,
    image_size: int | None = None,
    language: Language = "en",
) -> "FastVlmDescriber":
    """The describer of a pack, warm. Raises MissingPart for what is asked for and not here."""
    return FastVlmDescriber(
        find_pack("describer", pack),
        device,
        backend,
        threads,
        max_new_tokens=max_new_tokens,
        image_size=image_size,
        language=language,
    )


class FastVlmDescriber:
    """Describes frames; to be used from one thread.

    `image_size` is the side in pixels of the square that the vision tower sees (None: the
    checkpoint's own); `language` is the one whose sentences it is to yield.
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
    ) -> None:
        quiet_offline()
        self._device = choose_device(device)
        backend, form = choose_form(files, backend, self._device)
        limit_threads(threads)
        settings = files.settings()
        self._dtype = choose_dtype(self._device, large=bool(settings.get("large")))
        folder = files.open(form)
        try:
            self._processor, model = load_checkpoint(folder, self._dtype)
        except Exception as error:  # safetensors, tokenizers and transformers each have their own
            raise MissingPart(
                f"{files.pack} describer: {folder}: expected a FastVLM checkpoint in Apple's "
                f"layout or transformers' own, got {_one_line(error)}; to mend it: {files.remedy}"
            ) from None
        self._model = model.to(self._device)
        self._max_new_tokens = max_new_tokens
        self._adjust = _logits_processors(model.generation_config)
        self._ends = _end_tokens(model.generation_config)
        if image_size is not None:
            _set_image_size(self._processor, image_size)
        self._language = language
        self._chat = lru_cache(maxsize=64)(self._worded)
        self._prompt = settings["prompt"]
        self.card = ModelCard(
            settings["name"],
            files.pack,
            self._device,
            backend,
            precision_name(self._dtype),
            languages=tuple(settings.get("languages") or ("en",)),
            takes_prompts=bool(settings.get("takes_prompts")),
        )
        self._warm_up()

    def describe(
        self,
        frame: Frame,
        on_first_token: Callable[[], None] | None = None,
        prompt: str | None = None,
    ) -> Iterator[str]:
        """Yield finished, speakable clauses as soon as each is complete, greedy.

        `on_first_token` is called once, when the first token is known; `prompt` is the user's turn
        of the chat (None: the pack's own). Closing the iterator stops the generation. Raises
        OutOfMemory or DescriberFailed, with one line, whatever went wrong.
        """
        said = False
        try:
            with closing(self._pieces(frame, on_first_token, prompt)) as pieces:
                for clause in clauses(pieces, self._language):
                    said = True
                    yield clause
        except Exception as error:  # the template answers instead, so nothing may pass
            self._release()
            if _lacked_memory(error):
                where = "graphics card" if self._device == "cuda" else self._device
                raise OutOfMemory(
                    f"the describer found no memory on the {where}; use a smaller "
                    "models.describer.image_size or mode=quick"
                ) from error
            raise DescriberFailed(f"the describer failed: {_one_line(error)}") from error
        if not said:
            raise DescriberFailed("the describer failed: it gave no usable text")

    def tokens(self, frame: Frame, prompt: str | None = None) -> Iterator[int]:
        """Token ids without end, one decoding step each; the caller stops at an end token."""
        inputs = self._inputs(frame, prompt)
        seen = inputs["input_ids"]
        output = self._forward(**inputs)
        while True:
            scores = self._adjust(seen, output.logits[:, -1].float())
            chosen = scores.argmax(dim=-1, keepdim=True)  # (1, 1)
            token = int(chosen.item())  # waits for the device
            yield token
            seen = self._cat(seen, chosen)
            output = self._forward(input_ids=chosen, past_key_values=output.past_key_values)

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

    def _inputs(self, frame: Frame, prompt: str | None = None) -> Any:
        picture = _fitted(frame.image, self._processor.image_processor)
        inputs = self._processor(
            text=self._chat(self._prompt if prompt is None else prompt),
            images=picture,
            return_tensors="pt",
        )
        inputs.pop("token_type_ids", None)
        return inputs.to(self._device, self._dtype)

    def _worded(self, prompt: str) -> str:
        chat: str = self._processor.apply_chat_template(
            _conversation(prompt), add_generation_prompt=True
        )
        return chat

    def _forward(self, **inputs: Any) -> Any:
        import torch

        with torch.inference_mode():
            return self._model(**inputs, use_cache=True, logits_to_keep=1)

    def _cat(self, seen: Any, chosen: Any) -> Any:
        import torch

        return torch.cat([seen, chosen], dim=1)

    def _decode(self, tokens: list[int]) -> str:
        text: str = self._processor.tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    def _warm_up(self) -> None:
        steps = self.tokens(Frame(np.full((480, 640, 3), 128, np.uint8), 0.0, 0))
        for _ in range(3):
            next(steps)
        synchronise(self._device)

    def _release(self) -> None:
        """Give memory back after a failure, which may have been the lack of it."""
        if self._device == "cuda":
            import torch

            torch.cuda.empty_cache()


def _conversation(prompt: str) -> list[dict[str, Any]]:
    content: list[dict[str, str]] = [{"type": "image"}]
    if prompt:
        content.append({"type": "text", "text": prompt})
    return [{"role": "user", "content": content}]


def _logits_processors(config: Any) -> Any:
    """What the checkpoint's generation settings ask for before the argmax, as `generate` does."""
    from transformers import (
        LogitsProcessorList,
        NoRepeatNGramLogitsProcessor,
        RepetitionPenaltyLogitsProcessor,
    )

    chain: Any = LogitsProcessorList()
    if config.repetition_penalty not in (None, 1.0):
        chain.append(RepetitionPenaltyLogitsProcessor(config.repetition_penalty))
    if config.no_repeat_ngram_size:
        chain.append(NoRepeatNGramLogitsProcessor(config.no_repeat_ngram_size))
    return chain


def _end_tokens(config: Any) -> frozenset[int]:
    ends = config.eos_token_id
    return frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends])


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


def _set_image_size(processor: Any, side: int) -> None:
    """Make the processor give (side, side) pictures. Raises ConfigError for an impossible side."""
    _refuse_cut_patches(side, int(processor.patch_size))
    images = processor.image_processor
    images.size = {"height": side, "width": side}
    images.crop_size = {"height": side, "width": side}


def _fitted(image: NDArray[np.uint8], processor: Any) -> Any:
    """A PIL picture, made as small as it will be anyway where the processor pads to a square.

    Its own resizing works on the padded square, which for full HD takes several times as long.
    """
    from PIL import Image

    picture = Image.fromarray(image)
    size = processor.size or {}
    side = size.get("height") or size.get("shortest_edge")
    if not processor.do_pad or side is None or max(picture.size) <= side:
        return picture
    scale = side / max(picture.size)
    small = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(small, Image.Resampling.BICUBIC, reducing_gap=2.0)


def _lacked_memory(error: Exception) -> bool:
    """Torch has an error of its own for a graphics card, and none for a processor."""
    import torch

    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def _one_line(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0][:200]}" if text else type(error).__name__
