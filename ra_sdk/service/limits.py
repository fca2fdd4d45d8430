"""What the service takes from its clients, and no more: memory, time and queues are bounded, whoever asks."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ra_sdk.errors import BadOption

__all__ = ["MEBIBYTE", "MOST_WAIT_MS", "Limits"]

MEBIBYTE = 1 << 20
MOST_WAIT_MS = 60_000  # of one request; part of the wire format


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the service. Raises BadOption for one that is not above 0, or infinite.

    ``body``: bytes of one request, as sent and as unpacked. ``bodies``: bytes of all requests that are being read or worked on. ``batch``: records
    of one request. ``line``: characters of one record's body. ``queue``: records that wait to be mined. ``cold``: templates that wait for the model.
    ``connections``: open at once. ``head_s``: seconds for a request's head, and for which a connection may idle. ``body_s``: seconds for its body,
    and for who reads the answer slowly.
    ``grace_s``: seconds in which a shutdown finishes what was accepted.
    """

    body: int = 8 * MEBIBYTE
    bodies: int = 64 * MEBIBYTE
    batch: int = 50_000
    line: int = MEBIBYTE
    queue: int = 200_000
    cold: int = 20_000
    connections: int = 512
    head_s: float = 10.0
    body_s: float = 30.0
    grace_s: float = 25.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 < value < float("inf"):
                raise BadOption(f"limit {field.name} must be a finite number above 0, got {value!r}")
        if self.bodies < self.body or self.queue < self.batch:
            raise BadOption(f"limits bodies {self.bodies} and queue {self.queue} must hold one request, body {self.body} and batch {self.batch}; raise them")
