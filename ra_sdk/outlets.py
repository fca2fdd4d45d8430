"""The sinks of a run, written to beside it: one block is written while the next is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ra_sdk.hookspecs import Preparing

if TYPE_CHECKING:
    from ra_sdk.blocks import Detections
    from ra_sdk.hookspecs import Sink

__all__ = ["Outlets"]

ROUND_S = 0.5


class Outlets:
    """Sinks, given as objects or to be opened by ``opening`` from their URLs.

    Those opened here are opened, written and closed in one thread of their own; objects are written by who calls, whose thread may be all they bear.
    ``written`` is called with a block once every sink has taken it, in the thread of who calls, and always for the blocks in their order.
    ``at_once``: nobody makes the next block meanwhile, so wait for each. Raises what the sinks raise, at the latest with the next block or at the end.
    """

    def __init__(self, sinks: Sequence[str | Sink], opening: Callable[[str], Sink], written: Callable[[Detections], None], *, at_once: bool) -> None:
        self._given = [sink for sink in sinks if not isinstance(sink, str)]
        self._written, self._at_once = written, at_once
        self._opened: list[Sink] = []
        self._pending: tuple[Detections, Future[None]] | None = None
        self._thread, self._preparing = ThreadPoolExecutor(1, "ra-write"), ThreadPoolExecutor(1, "ra-prepare")
        try:
            for url in sinks:
                if isinstance(url, str):
                    self._opened.append(self._thread.submit(opening, url).result())
        except BaseException:
            self.close()
            raise

    def write(self, block: Detections) -> None:
        """Hand a block to all sinks, after the one before is with them. What can be prepared of it is, meanwhile."""
        prepared = {at: self._preparing.submit(sink.prepare, block) for at, sink in enumerate(self._opened) if isinstance(sink, Preparing)}
        self.settle()
        beside = self._thread.submit(_write, self._opened, block, prepared)
        _write(self._given, block, {})
        self._pending = block, beside  # not before: where an object fails, the block is with some sinks only, and must come again
        if self._at_once:
            self.settle()

    def settle(self) -> None:
        """Wait until the sinks have the last block."""
        pending, self._pending = self._pending, None
        if pending is not None:
            while not wait([pending[1]], ROUND_S).done:  # once Polars has set its own handler, Ctrl-C wakes nobody who waits without an end
                pass
            pending[1].result()
            self._written(pending[0])

    def close(self) -> None:
        """Close the sinks that were opened here. Each is closed, whatever another says to it."""
        self._preparing.shutdown(cancel_futures=True)
        closing = [self._thread.submit(sink.close) for sink in self._opened]
        self._thread.shutdown()
        for closed in closing:
            closed.result()

    def __enter__(self) -> Outlets:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            try:
                self.settle()
            except BaseException as error:
                self._stop(type(error))
                raise
            finally:
                self.close()
            return
        self._stop(kind)
        with suppress(Exception):  # what ended the run is to be told, not what it led to
            self.settle()
        with suppress(Exception):
            self.close()

    def _stop(self, kind: object) -> None:
        """Where Ctrl-C ended the run: nobody wants to wait for a sink that waits for its receiver."""
        if isinstance(kind, type) and issubclass(kind, Exception):
            return
        for sink in self._opened:
            with suppress(Exception):
                getattr(sink, "stop", _nothing)()


def _nothing() -> None:
    """What a sink does that cannot be stopped."""


def _write(sinks: Sequence[Sink], block: Detections, prepared: Mapping[int, Future[Any]]) -> None:
    for at, sink in enumerate(sinks):
        if isinstance(sink, Preparing) and at in prepared:
            sink.write_prepared(prepared[at].result())
        else:
            sink.write(block)
