"""testdata/masked.jsonl, from which the Go tests see that bodies of one shape are masked to one text, is what the masks make.

``RA_REFRESH_MASKED=1`` writes it again.
"""

from __future__ import annotations

import json
import os
import random
import string
import uuid
from pathlib import Path

from ra_sdk.templates.masks import mask

MASKED = Path(__file__).parents[1] / "testdata" / "masked.jsonl"
BEFORE = (
    "", "id ", "id=", "id:", "/", "\\", "a/", "10.0.0.1/", "10.0.0.1:", "fe80::", "ab:", "(", "-", " -", "_", "blk_", "blk_-", "x-", "#", "@", "+",
    ".", "1.", "a.", "v", '"', ",", "=", "0x", "port ", "code ", "user ", "--", "https://h/", "un:", "12:", "5/", "é", "to-", "/var/log/", "C:\\a\\", "T",
)  # fmt: skip
AFTER = (
    " now", ".", ",", ":", "/", "-", "_", "ms", " ms", "s", " bytes", "%", " %", ")", '"', "/8", "/24", "-x", ".5", ":80", "Z", "+0200", "é", "#1", "a",
    " of 5", "/5", "KB", " KB", " errors", "..5", ".tar",
)  # fmt: skip
REPEATS = 3


def values(some):
    """One value of each kind that shapes leave out."""
    address = lambda: ".".join(str(some.choice((0, 1, 10, 255, some.randrange(256)))) for _ in range(4))  # noqa: E731
    digits = "".join(some.choice(string.digits) for _ in range(some.randint(4, 18)))
    clock = f"{some.randrange(24):02}:{some.randrange(60):02}:{some.randrange(60):02}" + some.choice(("", ".123", ",456", ".123456"))
    date = f"{some.randrange(2000, 2030)}-{some.randrange(1, 13):02}-{some.randrange(1, 29):02}"
    yield f"{some.randint(1, 9)}{digits}"
    yield "".join(some.choice(string.digits + "abcdef") for _ in range(some.randint(8, 40)))
    yield str(uuid.UUID(int=some.getrandbits(128)))
    yield address()
    yield f"{address()}:{some.randrange(10_000, 65_536)}"
    yield clock
    yield f"{date}{some.choice('T ')}{clock}"


def test_masked_bodies_are_up_to_date():
    some = random.Random(5)
    around = [(before, "") for before in BEFORE] + [("", after) for after in AFTER]
    bodies = [f"worker failed {before}{value}{after}" for before, after in around for _ in range(REPEATS) for value in values(some)]
    made = "".join(json.dumps(pair, ensure_ascii=False) + "\n" for pair in zip(bodies, mask(bodies), strict=True))
    if os.environ.get("RA_REFRESH_MASKED") == "1":
        MASKED.write_text(made, encoding="utf-8")
    assert MASKED.read_text(encoding="utf-8") == made
