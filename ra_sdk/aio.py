"""Detections for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

from ra_sdk.detections import Detection, Detections
from ra_sdk.errors import Closed

__all__ = ["beside"]

TURN = 256  # detections after which other tasks get their turn: those of a block are given without waiting for anything


async def beside(blocks: Iterator[Detections], stop: Callable[[], None], close: Callable[[], None]) -> AsyncIterator[Detection]:
    """The detections of blocks that are made in a thread beside the event loop. At the end, or when it is left or cancelled, all is closed there.

    ``stop`` has a block that is being made end soon; ``close`` is called when nothing runs any more.
    """
    loop, thread = asyncio.get_running_loop(), ThreadPoolExecutor(1, "ra-async")
    try:
        while (block := await loop.run_in_executor(thread, next, blocks, None)) is not None:
            for number, detection in enumerate(block, 1):
                yield detection
                if number % TURN == 0:
                    await asyncio.sleep(0)
    finally:
        stop()
        closed = loop.run_in_executor(thread, _close, blocks, close)
        thread.shutdown(wait=False)
        await asyncio.shield(closed)


def _close(blocks: Any, close: Callable[[], None]) -> None:
    try:
        with suppress(Closed), closing(blocks):
            pass
    finally:
        close()
