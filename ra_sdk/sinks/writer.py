"""The sinks of a run. One block is written in the background while the next is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ra_sdk.hookspecs import Preparing

if TYPE_CHECKING:
    from ra_sdk.detections import Detections
    from ra_sdk.hookspecs import Sink

__all__ = ["Outlets"]

ROUND_S = 0.5


class Outlets:
    """Sinks, given as objects or as URLs that ``opening`` opens.

    Sinks opened here are opened, written and closed in a background thread. Sinks given as objects are
    written in the caller's thread, as they may be bound to it. ``written`` is called in the caller's thread,
    in order, for each block that every sink has accepted. ``at_once``: wait for each block, because there is
    no work to overlap with. Raises what the sinks raise, at the latest with the next block or at the end.
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
        """Hand a block to all sinks, once they have the block before it.

        It is prepared while that one is written.
        """
        prepared = {at: self._preparing.submit(sink.prepare, block) for at, sink in enumerate(self._opened) if isinstance(sink, Preparing)}
        self.settle()
        background = self._thread.submit(_write, self._opened, block, prepared)
        _write(self._given, block, {})
        # set last: if a given sink fails, this block must not count as written
        self._pending = block, background
        if self._at_once:
            self.settle()

    def settle(self) -> None:
        """Wait until the sinks have the last block."""
        pending, self._pending = self._pending, None
        if pending is not None:
            # Polars replaces the signal handler: Ctrl-C does not interrupt a wait without a timeout
            while not wait([pending[1]], ROUND_S).done:
                pass
            pending[1].result()
            self._written(pending[0])

    def close(self) -> None:
        """Close the sinks that were opened here, all of them even if one fails."""
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
        with suppress(Exception):  # report what ended the run, not the errors that followed from it
            self.settle()
        with suppress(Exception):
            self.close()

    def _stop(self, kind: object) -> None:
        """After Ctrl-C, do not wait for sinks that wait for their receivers."""
        if isinstance(kind, type) and issubclass(kind, Exception):
            return
        for sink in self._opened:
            with suppress(Exception):
                getattr(sink, "stop", _nothing)()


def _nothing() -> None:
    """The ``stop`` of a sink that has none."""


def _write(sinks: Sequence[Sink], block: Detections, prepared: Mapping[int, Future[Any]]) -> None:
    for at, sink in enumerate(sinks):
        if isinstance(sink, Preparing) and at in prepared:
            sink.write_prepared(prepared[at].result())
        else:
            sink.write(block)
