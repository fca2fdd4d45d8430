"""Inputs to begin with, by target: small ones that reach far."""

import bz2
import gzip
import json
import lzma

LINES = [
    "2026-03-02T10:00:01.123Z ERROR [main] disk sda failed: 5 of 7 blocks, code=-13",
    "Mar  2 10:00:01 host sshd[123]: Failed password for root from 203.0.113.7 port 51514 ssh2",
    "<34>1 2026-03-02T10:00:01Z host app 12 ID47 [a@1 b=\"c\\]\"] message",
    '203.0.113.7 - - [02/Mar/2026:10:00:01 +0000] "GET /a?b=1 HTTP/1.1" 503 12 "-" "curl/8"',
    '{"time":"2026-03-02T10:00:01Z","level":"error","msg":"x","v":1e999,"a":{"b":[1,null]}}',
    '{"log":"x\\n","stream":"stdout","time":"2026-03-02T10:00:01.1Z","attrs":{"a":"b"}}',
    "2026-03-02T10:00:01.1Z stdout P half a line",
    "E0302 10:00:01.123456       1 main.go:5] panic: it broke",
    "level=warn ts=2026-03-02T10:00:01Z msg=\"slow query\" took=1.5s",
    "081109 203518 143 INFO dfs.DataNode$PacketResponder: PacketResponder 1 for block blk_38865049064139660 terminating",
    "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nValueError: x",
    "0000-01-01T00:00:00Z INFO year zero\n9999-12-31T23:59:59-23:59 INFO the last one",
    "\x1b[31mred\x1b[0m \x00\x00 \r 10% \r 100%",
]  # fmt: skip
JSON = {
    "resourceLogs": [
        {"scopeLogs": [{"logRecords": [{"body": {"stringValue": "x"}, "attributes": [{"key": "exception.message", "value": {"intValue": "5"}}]}]}]}
    ]
}
# resource_logs, scope_logs, log_records, body, string_value
PROTOBUF = b"\x0a\x22\x12\x20\x12\x1e\x2a\x05\x0a\x03abc\x32\x15\x0a\x11exception.message\x12\x00"


def seeds(target):
    """The inputs of a target."""
    lines = [line.encode() for line in LINES]
    every = b"\n".join(lines) + b"\n"
    if target in ("formats", "masks"):
        return [*lines, *(line + b"\n" + line + b"\n" for line in lines), every]
    if target.startswith("otlp"):
        return [json.dumps(JSON).encode(), PROTOBUF, b"\x0a\x04\x12\x02\x12\x00"]
    if target == "state":
        return [b"", b"\x20\x00\xff\xff", b"\x00\x00\x1f\x8b\x08\x08", gzip.compress(b'{"version":1,"memo":[],"counts":[],"clusters":[]}')]
    packed = [pack(every) for pack in (gzip.compress, bz2.compress, lzma.compress)]
    zstd = b"\x28\xb5\x2f\xfd\x04\x58" + b"\x1b\x00\x00x" + b"\x19\x00\x00abc" + b"\0" * 4
    return [every, *packed, packed[0] * 2, zstd, b"\x50\x2a\x4d\x18\x01\0\0\0a" + zstd, every.decode().encode("utf-16"), every.decode().encode("utf-16-be")]
