"""Log lines made up on the spot, so that the benchmark runs where no data set lies."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

SHAPES = (
    ("INFO", "store.Receiver", "Receiving part prt_{id} from /10.{a}.{b}.{c}:{port} for /10.{a}.{c}.{b}:{port}"),
    ("INFO", "store.Responder", "Responder {d} for part prt_{id} ending"),
    ("INFO", "store.Receiver", "Received part prt_{id} of size {size} from /10.{a}.{b}.{c}"),
    ("INFO", "index.Names", "NAMES addPart: map updated: 10.{a}.{b}.{c}:{port} is added to prt_{id} size {size}"),
    ("INFO", "store.Server", "10.{a}.{b}.{c}:{port} served part prt_{id} to /10.{c}.{b}.{a}"),
    ("WARN", "store.Server", "10.{a}.{b}.{c}:{port}: got exception while serving prt_{id} to /10.{c}.{b}.{a}: broken pipe"),
    ("INFO", "index.Names", "NAMES delete: prt_{id} is added to the set of invalid parts of 10.{a}.{b}.{c}:{port}"),
    ("INFO", "store.Scanner", "Verification succeeded for prt_{id} in {size} ms"),
)


def lines(count: int, seed: int = 1) -> Iterator[str]:
    """``count`` lines of a made-up distributed file store, nearly all of them distinct."""
    random_ = random.Random(seed)
    for number in range(count):
        level, component, shape = SHAPES[min(int(random_.expovariate(0.5)), len(SHAPES) - 1)]
        second = number // 50 % 86400
        values = {name: random_.randrange(1, 255) for name in "abcd"}
        body = shape.format(**values, id=random_.getrandbits(60), port=random_.randrange(1024, 65535), size=random_.randrange(1 << 26))
        clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}.{number % 1000:03}"
        yield f"2025-03-0{1 + number // 4_320_000 % 9} {clock} {level} {values['d']} {component}: {body}"


def write(path: Path, count: int) -> Path:
    """A file of made-up lines."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines(count))
    return path
