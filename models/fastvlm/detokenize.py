"""Turns a stream of tokens into a stream of text. Knows no runtime and no clauses."""

from collections.abc import Callable, Collection, Generator, Iterable

INCOMPLETE = "\ufffd"  # decoded from a token that is only a part of a character


def text_pieces(
    tokens: Iterable[int],
    decode: Callable[[list[int]], str],
    ends: Collection[int],
    limit: int,
) -> Generator[str, None, bool]:
    """Yield the text of `tokens` piece by piece; returns whether the model ended it itself.

    At most `limit` tokens become text. One more token is read, but only to learn whether the last
    word was complete: if it begins a new word, its first character is yielded and closes that word.
    """
    used: list[int] = []
    text = ""
    for token in tokens:
        if token in ends:
            return True
        extended = decode([*used, token])
        if len(used) == limit:
            following = extended[len(text) : len(text) + 1]
            if following and not following.isalnum() and following not in f"'-{INCOMPLETE}":
                yield f"{following} "
            return False
        used.append(token)
        if not extended.endswith(INCOMPLETE):
            yield extended[len(text) :]
            text = extended
    return False
