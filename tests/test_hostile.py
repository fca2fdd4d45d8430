"""Input that is broken or meant to do harm: it costs bounded memory and linear time, and every record still leaves."""

import gzip
import http.client
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is measured in /proc")
PROTOBUF = "application/x-protobuf"


class Memory:
    """The most memory that this process held within a ``with`` block, above what it held before: ``with Memory() as used: …; used.mib``."""

    def __enter__(self):
        Path("/proc/self/clear_refs").write_text("5")  # Linux: the high-water mark begins again
        self._before = self._read()
        return self

    def __exit__(self, *_):
        self.mib = self._read() - self._before

    def _read(self):
        return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) >> 10


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def nested(*numbers, data):
    """``data`` in protobuf fields of these numbers, the outermost first."""
    for number in reversed(numbers):
        data = bytes([number << 3 | 2]) + varint(len(data)) + data
    return data


def post(url, data, headers):
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=60)
    try:
        connection.request("POST", "/v1/logs", data, headers)
        return connection.getresponse().status
    finally:
        connection.close()


EMPTIES = {
    "records": nested(1, 2, data=b"\x12\x00" * 4_000_000),
    "scopes": nested(1, data=b"\x12\x00" * 4_000_000),
    "resources": b"\x0a\x00" * 4_000_000,
}


@pytest.mark.parametrize("data", EMPTIES.values(), ids=EMPTIES)
def test_millions_of_empty_otlp_messages_are_refused_before_objects_are_made_of_them(serving, data):
    service = serving()
    packed = gzip.compress(data)
    assert len(packed) < 10_000
    with Memory() as used, ThreadPoolExecutor(7) as pool:
        statuses = list(pool.map(lambda _: post(service.url, packed, {"Content-Type": PROTOBUF, "Content-Encoding": "gzip"}), range(7)))
    assert set(statuses) == {413}
    assert used.mib < 150  # the seven bodies take 56 MB
