"""A checkpoint's chat without its framework: prompts to token ids, and token ids to text.

`tokenizer.json` holds the tokenizer. `chat.json` holds the chat template, rendered once, and what
else the runtime needs of the checkpoint's settings. `processor.py` makes both; nothing here but
`tokenizers` reads them. Knows no network.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from models.fastvlm.greedy import Greedy

CHAT_JSON, TOKENIZER_JSON = "chat.json", "tokenizer.json"


@dataclass(frozen=True)
class Template:
    """A user turn with an image, and the start of the answer's turn. `before` and `after` enclose
    the prompt; `empty` is the whole chat if there is none."""

    before: str
    after: str
    empty: str


@dataclass(frozen=True)
class Chat:
    """`tokenizer`: a tokenizers.Tokenizer. `image_token` stands in the template where the image
    is. `patch_px`: the side of the square that becomes one token. `side_px`: the side of the images
    that the checkpoint was trained on. `greedy`: the rules of decoding."""

    tokenizer: Any
    template: Template
    image_token: str
    image_id: int
    patch_px: int
    side_px: int
    greedy: Greedy

    def ids(self, prompt: str, side_px: int) -> tuple[int, ...]:
        """The token ids of a `prompt` (may be empty) about an image of this side in pixels."""
        marks = self.image_token * (side_px // self.patch_px) ** 2
        before, after, empty = (
            text.replace(self.image_token, marks)
            for text in (self.template.before, self.template.after, self.template.empty)
        )
        return tuple(self.encode(f"{before}{prompt}{after}" if prompt else empty))

    def encode(self, text: str) -> list[int]:
        """The token ids of a text."""
        ids: list[int] = self.tokenizer.encode(text).ids
        return ids

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of token ids, without special tokens."""
        text: str = self.tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text

    def save(self, folder: Path) -> None:
        """Write both files."""
        greedy = asdict(self.greedy) | {"ends": sorted(self.greedy.ends)}
        content = {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if field.name not in ("tokenizer", "template", "greedy")
        } | {"template": asdict(self.template), "greedy": greedy}
        self.tokenizer.save(str(folder / TOKENIZER_JSON))
        text = json.dumps(content, indent=1, ensure_ascii=False)
        (folder / CHAT_JSON).write_text(text + "\n", encoding="utf-8")

    @classmethod
    def open(cls, folder: Path) -> "Chat":
        """Read both files. Raises OSError, ValueError, TypeError or KeyError if either cannot be
        read, and tokenizers' own exception."""
        from tokenizers import Tokenizer

        content: dict[str, Any] = json.loads((folder / CHAT_JSON).read_text(encoding="utf-8"))
        greedy = content.pop("greedy")
        return cls(
            tokenizer=Tokenizer.from_file(str(folder / TOKENIZER_JSON)),
            template=Template(**content.pop("template")),
            greedy=Greedy(**greedy | {"ends": frozenset(greedy["ends"])}),
            **content,
        )
