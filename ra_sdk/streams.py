"""Bytes as they lie in a file or come through a pipe -> UTF-8 text: opens what is compressed, decodes UTF-16, refuses what is no text."""

from __future__ import annotations

import bz2
import codecs
import lzma
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from ra_sdk.errors import SourceError

__all__ = ["HEAD", "byte_order_mark", "compression", "refuse_binary", "text"]

HEAD = 8192  # bytes by which a stream is known
STEP = 64 << 10  # bytes that one step of decompression gives, and the most that is lost before damage
MOST = 1 << 20  # bytes of a piece: however small an archive, it cannot fill the memory
SLICE = 2 << 10  # compressed bytes in a step of zstandard, which takes no limit of what it gives
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    **{bytes([first]) + b"\x2a\x4d\x18": "zstd" for first in range(0x50, 0x60)},  # RFC 8878: a skippable frame may come first
}
_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}


def compression(head: bytes) -> str:
    """The compression that a stream begins with, by its magic bytes; empty for none."""
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")


def byte_order_mark(head: bytes) -> bytes:
    """The byte order mark that a stream begins with; empty for none."""
    return next((mark for mark in _MARKS if head.startswith(mark)), b"")


def refuse_binary(head: bytes, name: str) -> None:
    """Raise SourceError if these first bytes are no text: many NULs, control characters that neither text nor terminals have, or a tar archive.

    ESC is fine (colours), and so are the separators of machine-written logs (0x01, 0x1c to 0x1f).
    """
    if byte_order_mark(head)[:1] in (b"\xff", b"\xfe"):
        return
    odd = sum(1 < byte < 9 or 13 < byte < 27 for byte in head)
    if head.count(0) > len(head) / 10 or odd > len(head) / 20 or head[257:262] == b"ustar":
        raise SourceError(f"{name!r} looks binary, it holds no lines of text; name a text file, or force it with --format plain")


def text(chunks: Iterable[bytes], name: str, *, force: bool = False) -> Iterator[bytes]:
    """The stream as UTF-8 without a mark, in pieces of about a MiB or as they come. Reads the first chunks at once.

    ``force`` takes even what looks binary. Raises SourceError here, or later where a compressed stream breaks off, after all that could be read of it.
    """
    head, chunks = _peeked(chunks)
    if kind := compression(head):
        head, chunks = _peeked(_decompressed(chunks, kind, name))
    if not force:
        refuse_binary(head, name)
    mark = byte_order_mark(head)
    return _decoded(chunks, mark) if mark else chunks


def _peeked(chunks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, enough to know a magic by, and all chunks."""
    rest, head = iter(chunks), b""
    for chunk in rest:
        head += chunk
        if not any(known.startswith(head) for known in (*_MAGIC, *_MARKS)):
            break
    return head[:HEAD], chain([head] if head else [], rest)


def _decoded(chunks: Iterator[bytes], mark: bytes) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(_MARKS[mark])("replace")
    skip = len(mark)
    for chunk in chunks:
        piece, skip = chunk[skip:], max(0, skip - len(chunk))
        yield piece if _MARKS[mark] == "utf-8" else decoder.decode(piece).encode("utf-8", "replace")
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def _decompressed(chunks: Iterable[bytes], kind: str, name: str) -> Iterator[bytes]:
    """What one or several compressed streams, one behind the other, hold."""
    stream: Any = None
    taken = given = 0
    for chunk in chunks:
        held: list[bytes] = []  # what a chunk gives is handed on with it, so that nothing of a live stream waits for more
        while chunk or (stream and not stream.needs_input):
            if stream is None:
                chunk = chunk.lstrip(b"\0")  # padding of tapes and of xz
                stream = _STREAMS[kind]() if chunk else None
                continue
            try:
                held.append(stream.decompress(chunk, STEP))
            except Exception as error:
                yield b"".join(held)
                raise _broken(name, kind, taken, given, str(error)) from error
            given += len(held[-1])
            taken += len(chunk)
            chunk = stream.unused_data if stream.eof else b""
            if stream.eof:
                taken -= len(chunk)
                stream = None
            if len(held) * STEP >= MOST:
                yield b"".join(held)
                held = []
        yield b"".join(held)
    if stream is not None:
        raise _broken(name, kind, taken, given, "it ends in the middle")


def _broken(name: str, kind: str, taken: int, given: int, why: str) -> SourceError:
    return SourceError(f"{name!r} breaks off near byte {taken} of its {kind} stream, after {given} bytes of text: {why}; get a whole copy of it")


class _Gzip:
    """zlib's decompressor with the manners of lzma's and bz2's."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, most: int) -> bytes:
        piece = self._inner.decompress(self._inner.unconsumed_tail + data, most)
        self.needs_input = len(piece) < most and not self._inner.unconsumed_tail
        return piece


class _Zstd:
    """zstandard's decompressor with the manners of lzma's and bz2's. From Python 3.14 on the standard library has one."""

    def __init__(self) -> None:
        import zstandard

        self._inner = zstandard.ZstdDecompressor().decompressobj()
        self._rest = memoryview(b"")

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._rest

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data + bytes(self._rest)

    def decompress(self, data: bytes, most: int) -> bytes:  # noqa: ARG002
        if data:
            self._rest = memoryview(bytes(self._rest) + data)
        piece, self._rest = self._inner.decompress(self._rest[:SLICE]), self._rest[SLICE:]
        return piece


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression.zstd import ZstdDecompressor

        return ZstdDecompressor()
    return _Zstd()


_STREAMS: dict[str, Callable[[], Any]] = {"gzip": _Gzip, "xz": lzma.LZMADecompressor, "bzip2": bz2.BZ2Decompressor, "zstd": _zstd}
