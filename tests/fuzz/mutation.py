"""Inputs made from valid ones by what breaks readers: lengths that lie, cuts, repetitions, splices, tokens out of place."""

import random
from collections.abc import Callable, Sequence

_LIES = (0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFE, 0xFFFFFFFF)
_LONGEST = 1 << 16


class Mutator:
    """An endless supply, the same for the same seed."""

    def __init__(self, seed: int, originals: Sequence[bytes], tokens: Sequence[bytes]) -> None:
        self._random = random.Random(seed)
        self._originals = originals
        self._tokens = tokens
        self._ways: list[Callable[[bytearray], None]] = [
            self._flip,
            self._lie,
            self._lie,
            self._cut,
            self._remove,
            self._repeat,
            self._splice,
            self._insert_token,
            self._insert_token,
            self._overwrite_with_token,
            self._swap,
        ]

    def next(self) -> bytes:
        mutated = bytearray(self._random.choice(self._originals))
        for _ in range(self._random.choice((1, 1, 1, 2, 2, 3, 5, 9))):
            self._random.choice(self._ways)(mutated)
        return bytes(mutated[:_LONGEST])

    def _place(self, mutated: bytearray) -> int:
        return self._random.randrange(len(mutated) + 1)

    def _span(self, mutated: bytearray) -> slice:
        start = self._place(mutated)
        return slice(start, start + self._random.choice((1, 2, 4, 8, 12, 16, 64, 256)))

    def _flip(self, mutated: bytearray) -> None:
        if mutated:
            mutated[self._random.randrange(len(mutated))] ^= 1 << self._random.randrange(8)

    def _lie(self, mutated: bytearray) -> None:
        """A number where there may be a length, in either byte order, often on an even place as lengths are."""
        place, width = self._place(mutated) & ~self._random.getrandbits(1), self._random.choice((1, 2, 4, 4))
        lie = self._random.choice((*_LIES, len(mutated), len(mutated) - place))
        mutated[place : place + width] = (lie & ((1 << 8 * width) - 1)).to_bytes(width, self._random.choice(("little", "big")))

    def _cut(self, mutated: bytearray) -> None:
        del mutated[self._place(mutated) :]

    def _remove(self, mutated: bytearray) -> None:
        del mutated[self._span(mutated)]

    def _repeat(self, mutated: bytearray) -> None:
        span = self._span(mutated)
        mutated[span] = bytes(mutated[span]) * self._random.choice((2, 3, 40))

    def _splice(self, mutated: bytearray) -> None:
        other = self._random.choice(self._originals)
        start = self._random.randrange(len(other) + 1)
        mutated[self._place(mutated) :] = other[start:]

    def _insert_token(self, mutated: bytearray) -> None:
        place = self._place(mutated)
        mutated[place:place] = self._random.choice(self._tokens)

    def _overwrite_with_token(self, mutated: bytearray) -> None:
        place, token = self._place(mutated), self._random.choice(self._tokens)
        mutated[place : place + len(token)] = token

    def _swap(self, mutated: bytearray) -> None:
        one, other = self._span(mutated), self._span(mutated)
        mutated[one], mutated[other] = mutated[other], mutated[one]
