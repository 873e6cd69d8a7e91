"""The baseline recipe: transformers' own `generate`, eager, without a cache; and its variants.

The analysis that this project grew from (December 2025, an RTX 2060) loaded Apple's code, set
`cudnn.benchmark` and `allow_tf32`, wrapped the model in `torch.compile(mode="reduce-overhead")` and
called `generate(max_new_tokens=16, do_sample=False, use_cache=False)` in fp16. Two of those
settings had no effect there:

- Apple's code passes embeddings to `generate`, for which transformers sets `use_cache` to True
  again. Here transformers' own FastVLM gets token ids and pixels, so `use_cache=False` holds: the
  whole prompt is processed again for every token. Whether the image is encoded again as well
  depends on the release (5.17 does, 5.23 does not); the note says how often it was.
- `generate` of a compiled module is that of the bare module, so nothing is compiled; the note says
  how many graphs were compiled.
"""

from typing import Any

from engine.core.errors import MissingPart
from experiments.fastvlm.bench import Bench, Question, Stamps, TimedAnswer, eager_precision
from models.fastvlm.image_features import image_features


class Generate:
    """`generate` on the checkpoint. `options` are its additional arguments."""

    streams = True

    def __init__(self, bench: Bench, options: dict[str, Any], *, compiled: bool = False) -> None:
        import torch

        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = True
        self._device, self._options = bench.device, options
        self._model = bench.model(eager_precision(bench.device), "generate").to(bench.device)
        self._model.generation_config.eos_token_id = (
            None  # to generate exactly the requested number of tokens
        )
        self._compiled, self._encoded = compiled, ""
        self._called = self._model
        if compiled:
            self._graphs = _graphs()
            self._called = torch.compile(self._model, mode="reduce-overhead")

    def prepare(self, question: Question) -> None:
        """Does nothing: `generate` does not depend on the question's size."""

    def answer(self, question: Question, count: int) -> TimedAnswer:
        import torch

        encoded: list[float] = []
        known = _Arrivals()
        stamps = Stamps(self._device)

        def projected(*_: Any) -> None:
            encoded.append(stamps.now(wait=not encoded))

        known.stamps = stamps
        hook = self._model.model.multi_modal_projector.register_forward_hook(projected)
        try:
            with torch.inference_mode():
                self._called.generate(
                    **self._inputs(question), max_new_tokens=count, do_sample=False,
                    streamer=known, **self._options,
                )  # fmt: skip
        finally:
            hook.remove()
        self._encoded = f"the picture was encoded {len(encoded)}× for {count} tokens"
        return TimedAnswer(tuple(known.tokens), encoded[0], tuple(known.at_ms))

    def note(self) -> str:
        if not self._compiled:
            return self._encoded
        return f"{_graphs() - self._graphs} graphs were compiled; {self._encoded}"

    def _inputs(self, question: Question) -> dict[str, Any]:
        import torch

        ids = torch.tensor([question.ids], device=self._device)
        pixels = torch.from_numpy(question.pixels).to(self._device, self._model.dtype)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "pixel_values": pixels}


class EncodedOnce(Generate):
    """No cache, but the image is encoded once: prompt and answer are processed again for every
    token.
    """

    def answer(self, question: Question, count: int) -> TimedAnswer:
        import torch

        stamps = Stamps(self._device)
        inputs = self._inputs(question)
        tokens: list[int] = []
        at_ms: list[float] = []
        with torch.inference_mode():
            words = self._model.get_input_embeddings()
            halves = self._model.model
            seen = image_features(
                halves.vision_tower.timm_model,
                halves.multi_modal_projector,
                inputs["pixel_values"],
            )
            rows = words(inputs["input_ids"])
            place = inputs["input_ids"] == self._model.config.image_token_id
            rows[place] = seen
            encoded_ms = stamps.now()
            while len(tokens) < count:
                logits = self._model(inputs_embeds=rows, use_cache=False, logits_to_keep=1).logits
                chosen = logits[:, -1].argmax(dim=-1, keepdim=True)
                tokens.append(int(chosen.item()))
                at_ms.append(stamps.now(wait=False))
                rows = torch.cat([rows, words(chosen)], dim=1)
        return TimedAnswer(tuple(tokens), encoded_ms, tuple(at_ms))


class _Arrivals:
    """A streamer for transformers, which receives the prompt and then each token on the host."""

    stamps: Stamps

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.at_ms: list[float] = []
        self._prompted = False

    def put(self, value: Any) -> None:
        if self._prompted:
            self.tokens.append(int(value))
            self.at_ms.append(self.stamps.now(wait=False))
        self._prompted = True

    def end(self) -> None:
        """Does nothing: every token has already been received."""


def compiled_cache() -> dict[str, Any]:
    """The option that makes `generate` compile its steps: a static cache. Raises MissingPart
    without CUDA, since transformers compiles for CUDA only.
    """
    import torch

    if not torch.cuda.is_available():
        raise MissingPart("transformers compiles for a static cache on CUDA alone")
    return {"cache_implementation": "static"}


def _graphs() -> int:
    from torch._dynamo.utils import counters

    return int(counters["stats"]["unique_graphs"])
