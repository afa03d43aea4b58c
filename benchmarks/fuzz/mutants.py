"""Damaged copies of a file, the same for the same number."""

import random

_INTERESTING = (0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)


def mutant(content: bytes, seed: str) -> bytes:
    """A copy with one to four damages."""
    rng = random.Random(seed)
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        rng.choice(_DAMAGES)(rng, changed)
    return bytes(changed)


def _flip(rng: random.Random, content: bytearray) -> None:
    if content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def _set(rng: random.Random, content: bytearray) -> None:
    if content:
        content[rng.randrange(len(content))] = rng.choice((0, 255, rng.randrange(256), *b'0-9.,:"\n\r #'))


def _number(rng: random.Random, content: bytearray) -> None:
    """A number that programs do not expect, of 1 to 8 bytes."""
    length = rng.choice((1, 2, 4, 8))
    number = (rng.choice(_INTERESTING) % 256**length).to_bytes(length, rng.choice(("little", "big")))
    place = rng.randrange(len(content) + 1)
    content[place : place + length] = number


def _digits(rng: random.Random, content: bytearray) -> None:
    """A long number in the place of a digit."""
    places = [place for place, byte in enumerate(content) if 48 <= byte <= 57]
    if places:
        place = rng.choice(places)
        content[place : place + 1] = str(rng.choice((*_INTERESTING, -1, 10**30))).encode()


def _insert(rng: random.Random, content: bytearray) -> None:
    place = rng.randrange(len(content) + 1)
    content[place:place] = rng.randbytes(rng.choice((1, 2, 8, 100)))


def _delete(rng: random.Random, content: bytearray) -> None:
    place = rng.randrange(len(content) + 1)
    del content[place : place + rng.choice((1, 2, 8, 100))]


def _cut(rng: random.Random, content: bytearray) -> None:
    del content[rng.randrange(len(content) + 1) :]


def _double(rng: random.Random, content: bytearray) -> None:
    start = rng.randrange(len(content) + 1)
    part = content[start : start + rng.choice((1, 8, 64, 512))]
    place = rng.randrange(len(content) + 1)
    content[place:place] = part


_DAMAGES = (_flip, _flip, _flip, _set, _set, _number, _digits, _insert, _delete, _cut, _double)
