"""Bytes as they lie in a file or come through a pipe -> UTF-8 text: decompresses, decodes UTF-16 and journal exports, refuses what is not text."""

from __future__ import annotations

import bz2
import codecs
import lzma
import re
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from ra_sdk.errors import SourceError
from ra_sdk.sources.journal_export import BEGINNING, json_lines

__all__ = ["HEAD", "byte_order_mark", "compression", "encoding", "is_plain", "refuse_binary", "text"]

HEAD = 8192  # bytes by which a stream is known
STEP = 64 << 10  # bytes that one step of decompression gives, and the most that is lost before damage
MOST = 1 << 20  # bytes of a piece: however small an archive, it cannot fill the memory
SLICE = 8 << 10  # compressed bytes in a step: at the end of a stream the rest is copied, and there may be many short streams
_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
    **{bytes([first]) + b"\x2a\x4d\x18": "zstd" for first in range(0x50, 0x60)},  # RFC 8878: a skippable frame may come first
}
_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_HOLE = re.compile(rb"\0{16,}")
_BINARY = bytes({*range(2, 9), *range(14, 27)})  # control characters that neither text nor terminals have


def is_plain(head: bytes, *, force: bool = False) -> bool:
    """Whether what begins so is the text to read, but for its mark: it is not compressed, UTF-16 or a journal export.

    ``force`` takes a journal export as it is.
    """
    decoded = head.startswith(BEGINNING) and not force
    return not compression(head) and not decoded and encoding(head) == "utf-8"


def compression(head: bytes) -> str:
    """The compression that a stream begins with, by its magic bytes; empty for none."""
    return next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "")


def byte_order_mark(head: bytes) -> bytes:
    """The byte order mark that a stream begins with; empty for none."""
    return next((mark for mark in _MARKS if head.startswith(mark)), b"")


def encoding(head: bytes) -> str:
    """The encoding of a text, by its byte order mark, or by NULs in every second byte; utf-8 where neither is found."""
    mark = byte_order_mark(head)
    if mark:
        return _MARKS[mark]
    if head.count(0) <= len(head) / 10:
        return "utf-8"
    even = len(head) & ~1
    for name, high, low in (("utf-16-le", head[1:even:2], head[:even:2]), ("utf-16-be", head[:even:2], head[1:even:2])):
        if 2 * high.count(0) > len(high) and not _looks_binary(low):
            return name
    return "utf-8"


def refuse_binary(head: bytes, name: str) -> None:
    """Raise SourceError if these first bytes are not text: many NULs, control characters, or a tar archive.

    ESC is fine (colours), and so are the separators of machine-written logs (0x01, 0x1c to 0x1f). A long run of NULs at the start or
    after a line is a hole in a text: left by a writer whose file was truncated, or by a crash.
    """
    if encoding(head) != "utf-8":
        return
    first, *parts = _HOLE.split(head)
    hole = not first or b"\n" in first
    if head[257:262] == b"ustar" or any(map(_looks_binary, [first, *parts] if hole and head.strip(b"\0") else [head])):
        raise SourceError(f"{name!r} looks binary, not like lines of text; name a text file, or force it with --format plain")


def _looks_binary(part: bytes) -> bool:
    control = len(part) - len(part.translate(None, _BINARY))
    return part.count(0) > len(part) / 10 or control > len(part) / 20


def text(chunks: Iterable[bytes], name: str, *, force: bool = False) -> Iterator[bytes]:
    """The stream as UTF-8 without a mark, in pieces of about a MiB or as they come. Reads the first chunks at once.

    ``force`` takes even what looks binary, and a journal export as it is.
    Raises SourceError here, or later where a compressed stream breaks off, after all that could be read of it.
    """
    head, chunks = _peeked(chunks)
    if kind := compression(head):
        head, chunks = _peeked(_decompressed(chunks, kind, name))
    if head.startswith(BEGINNING) and not force:
        return json_lines(chunks, name)
    if not force:
        refuse_binary(head.lstrip(b"\0") if kind else head, name)  # a hole in an archive has an end, that of a device may have none
    mark, code = byte_order_mark(head), encoding(head)
    return _decoded(chunks, code, len(mark)) if mark or code != "utf-8" else chunks


def _peeked(chunks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The first bytes, enough to know a magic by, and all chunks."""
    rest, head = iter(chunks), b""
    for chunk in rest:
        head += chunk
        if not any(known.startswith(head) for known in (*_MAGIC, *_MARKS, BEGINNING)):
            break
    return head[:HEAD], chain([head] if head else [], rest)


def _decoded(chunks: Iterator[bytes], code: str, skip: int) -> Iterator[bytes]:
    """The chunks in UTF-8, without the first ``skip`` bytes."""
    decoder = codecs.getincrementaldecoder(code)("replace")
    for chunk in chunks:
        piece, skip = chunk[skip:], max(0, skip - len(chunk))
        yield piece if code == "utf-8" else decoder.decode(piece).encode("utf-8", "replace")
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def _decompressed(chunks: Iterable[bytes], kind: str, name: str) -> Iterator[bytes]:
    """The content of one or more compressed streams, one after the other."""
    opener, stream = _opener(kind), None
    taken = given = 0
    for chunk in chunks:
        held, size = list[bytes](), 0  # what a chunk gives is handed on with it, so that nothing of a live stream waits for more
        for at in range(0, len(chunk), SLICE):
            part = chunk[at : at + SLICE]
            while part or (stream and not stream.needs_input):
                if stream is None:
                    taken += len(part) - len(part := part.lstrip(b"\0"))  # padding of tapes and of xz
                    stream = opener() if part else None
                    continue
                try:
                    held.append(stream.decompress(part, STEP))
                except Exception as error:
                    yield b"".join(held)
                    raise _broken(name, kind, taken, given, str(error)) from error
                given, size = given + len(held[-1]), size + len(held[-1])
                taken += len(part)
                part = stream.unused_data if stream.eof else b""
                if stream.eof:
                    taken -= len(part)
                    stream = None
                if size >= MOST:
                    yield b"".join(held)
                    held, size = [], 0
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
    """zstandard's decompressor with the manners of lzma's and bz2's. From Python 3.14 on the standard library has one.

    zstandard has no limit for what it gives, so it gets one block at a time, which never holds more than 128 KiB:
    https://www.rfc-editor.org/rfc/rfc8878#name-frames
    """

    def __init__(self, context: Any) -> None:
        self._inner = context.decompressobj()
        self._held = bytearray()
        self._measure: Callable[[], int] = self._header
        self._skipped = self._checksum = 0  # bytes that are left of a skippable frame; bytes of the checksum

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def needs_input(self) -> bool:
        return self._measure() > len(self._held)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inner.unused_data + self._held)

    def decompress(self, data: bytes, most: int) -> bytes:  # noqa: ARG002
        self._held += data
        size = self._measure()
        if size > len(self._held):
            return b""
        part = bytes(self._held[:size])
        self._advance(part)
        del self._held[:size]
        piece: bytes = self._inner.decompress(part)
        return piece

    def _header(self) -> int:
        """Bytes of a frame's header; 5 of them tell."""
        held = self._held
        if len(held) < 5:
            return 5
        if held[1:4] == b"\x2a\x4d\x18":
            return 8
        flags = held[4]
        single = flags >> 5 & 1  # without the byte for the size of the window
        return 6 - single + (0, 1, 2, 4)[flags & 3] + (single, 2, 4, 8)[flags >> 6]

    def _block(self) -> int:
        """Bytes of a block with its header; the content of one kind is a single byte, which is repeated."""
        header = int.from_bytes(self._held[:3], "little")
        return 3 + (1 if header >> 1 & 3 == 1 else header >> 3) if len(self._held) >= 3 else 3

    def _rest(self) -> int:
        return min(self._skipped, max(1, len(self._held)))

    def _advance(self, part: bytes) -> None:
        """What comes after this part."""
        if self._measure == self._header:
            if part[1:4] == b"\x2a\x4d\x18":
                self._skipped, self._measure = int.from_bytes(part[4:], "little"), self._rest
            else:
                self._checksum, self._measure = part[4] & 4, self._block
        elif self._measure == self._block and part[0] & 1:
            self._skipped, self._measure = self._checksum, self._rest
        elif self._measure == self._rest:
            self._skipped -= len(part)


def _zstd() -> Callable[[], Any]:
    if sys.version_info >= (3, 14):
        from compression.zstd import ZstdDecompressor

        return ZstdDecompressor
    import zstandard

    context = zstandard.ZstdDecompressor()  # for all frames of a file, as it takes ten times longer to make than a short frame to read
    return lambda: _Zstd(context)


def _opener(kind: str) -> Callable[[], Any]:
    """What makes a decompressor for each stream of a file."""
    known = {"gzip": _Gzip, "xz": lzma.LZMADecompressor, "bzip2": bz2.BZ2Decompressor}
    return known.get(kind) or _zstd()
