"""Severities and times where programs put them: after a program's name, inside of other headers, under many keys; and words of prose that are none."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import polars as pl
import pytest

from ra_sdk.formats import builtin_formats
from ra_sdk.formats.reading import Reader

FORMATS = builtin_formats()
NOW = datetime(2026, 11, 30, tzinfo=timezone.utc)


def read(lines):
    """Rows (time of day in UTC or None, severity, body) of lines."""
    records = Reader(FORMATS).read(pl.Series("line", lines, dtype=pl.String), whole=True)
    fields = records.fields(NOW)
    stamps = [stamp and stamp.strftime("%H:%M:%S") for stamp in fields["timestamp"].to_list()]
    return list(zip(stamps, fields["severity"].to_list(), records.bodies().to_list(), strict=True))


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        ("collect2: error: ld returned 1 exit status", "ERROR"),
        ("g++: fatal error: no input files", "ERROR"),
        ("cc1plus: note: unrecognized command-line option may have been intended to silence earlier diagnostics", "INFO"),
        ("/usr/lib/gcc/x86_64-linux-gnu/12/ld: error: undefined symbol: oven_open", "ERROR"),
        ("git-lfs: warning: something", "WARN"),
        ("ninja: error: loading 'build.ninja': No such file or directory", "ERROR"),
        ("make[2]: warning: Clock skew detected.  Your build may be incomplete.", "WARN"),
        ("gmake[3]: *** [Makefile:12: all] Segmentation fault (core dumped)", "ERROR"),
        ("psql: error: connection to server on socket failed: No such file or directory", "ERROR"),
        ("psql: FATAL:  database \"shop\" does not exist", "FATAL"),
        ("mysql: [Warning] Using a password on the command line interface can be insecure.", "WARN"),
        ("docker: Error response from daemon: pull access denied for shop", "ERROR"),
        ('Error from server (NotFound): pods "web-1" not found', "ERROR"),
        ("dpkg-deb: error: paste subprocess was killed by signal (Broken pipe)", "ERROR"),
        ("rsync error: some files/attrs were not transferred (code 23) at main.c(1338)", "ERROR"),
        ("CMake Deprecation Warning at CMakeLists.txt:1 (cmake_minimum_required):", "WARN"),
        ("log4j:WARN No appenders could be found for logger (org.apache.hadoop.util.Shell).", "WARN"),
        ("SLF4J(E): A service provider failed to instantiate", "ERROR"),
        # no level is stated
        ("make: [Makefile:7: clean] Error 1 (ignored)", None),
        ("make[1]: Entering directory '/src'", None),
        ("summary: errors: 0, warnings: 3", None),
        ("retry of job 7: the last error: none", None),
        ("N: 5 samples", None),
        ("E: 0.511 MeV", None),
    ],
)  # fmt: skip
def test_a_level_after_the_name_of_a_program_stays_in_the_message(line, severity):
    assert read([line]) == [(None, severity, line)]


@pytest.mark.parametrize(
    ("line", "severity", "body"),
    [
        ("C:\\src\\cart.ts(12,5): error TS2322: Type 'string' is not assignable to type 'number'.", "ERROR",
         "TS2322: Type 'string' is not assignable to type 'number'."),
        ("web/cart.tsx:12:5 - error TS7006: Parameter 'x' implicitly has an 'any' type.", "ERROR", "TS7006: Parameter 'x' implicitly has an 'any' type."),
        ("LINK : fatal error LNK1104: cannot open file 'oven.lib'", "ERROR", "LNK1104: cannot open file 'oven.lib'"),
        ("CSC : warning CS1701: Assuming assembly reference matches", "WARN", "CS1701: Assuming assembly reference matches"),
        ("w: /src/Cart.kt: (12, 5): Variable 'x' is never used", "WARN", "/src/Cart.kt: (12, 5): Variable 'x' is never used"),
        ("W: Some index files failed to download. They have been ignored.", "WARN", "Some index files failed to download. They have been ignored."),
        ("(node:4711) [DEP0005] DeprecationWarning: Buffer() is deprecated", "WARN", "[DEP0005] DeprecationWarning: Buffer() is deprecated"),
        ("(node:4711) UnhandledPromiseRejectionWarning: Error: refused", "WARN", "UnhandledPromiseRejectionWarning: Error: refused"),
        ("[GIN-debug] [ERROR] listen tcp :8080: bind: address already in use", "ERROR", "listen tcp :8080: bind: address already in use"),
        ("[GIN-debug] GET    /ping   --> main.main.func1 (3 handlers)", None, "GET    /ping   --> main.main.func1 (3 handlers)"),
        ("\u2009ERR_PNPM_OUTDATED_LOCKFILE\u2009 Cannot install", "ERROR", "ERR_PNPM_OUTDATED_LOCKFILE\u2009 Cannot install"),
        ("#12 4.218 main.c:3:5: error: expected ';'", "ERROR", "expected ';'"),
    ],
)  # fmt: skip
def test_levels_of_tools(line, severity, body):
    assert read([line]) == [(None, severity, body)]


@pytest.mark.parametrize(
    ("message", "severity", "body"),
    [
        ("ERROR: oven is cold", "ERROR", "oven is cold"),
        ("WARN oven is cold", "WARN", "WARN oven is cold"),
        ("[warning] oven is cold", "WARN", "oven is cold"),
        ("Error: oven is cold", "ERROR", "Error: oven is cold"),
        ("Warning: oven is cold", "WARN", "Warning: oven is cold"),
        ("E: Unable to fetch some archives", "ERROR", "Unable to fetch some archives"),
        ("heater: ERROR: oven is cold", "ERROR", "heater: ERROR: oven is cold"),
        ("heater[7]: [crit] oven is cold", "FATAL", "heater[7]: [crit] oven is cold"),
        ("auth-worker(4712): Error: mysql(localhost): Connect failed", "ERROR", "mysql(localhost): Connect failed"),
        ("imap(ann)<4711><Ab1C>: Warning: Mailbox is locked", "WARN", "Mailbox is locked"),
        ("<warn>  [1772468867.1691] device (eth0): link is down", "WARN", "device (eth0): link is down"),
        ('level=error msg="oven is cold" till=4', "ERROR", "oven is cold"),
        ('ts=2026-03-02T10:00:01Z caller=oven.go:7 level=warn msg="oven is cold"', "WARN", "oven is cold"),
        ('{"LogLevel":"Error","msg":"oven is cold"}', "ERROR", "oven is cold"),
        ("make[1]: *** [Makefile:12: all] Error 2", "ERROR", "make[1]: *** [Makefile:12: all] Error 2"),
        ("INFO: Error: 0 found", "INFO", "Error: 0 found"),
        ("[7] ERROR: oven is cold", "ERROR", "oven is cold"),
        ("(WARN) oven is cold", "WARN", "oven is cold"),
        ("[7] ERRORS were found", None, "[7] ERRORS were found"),
        ("Error opening the oven", None, "Error opening the oven"),
        ("oven.service: Main process exited, code=exited, status=1/FAILURE", None, "oven.service: Main process exited, code=exited, status=1/FAILURE"),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "header",
    [
        "Mar  2 10:00:01 h bakery[12]: ",
        "Mon 2026-03-02 10:00:01 UTC h bakery[12]: ",
        "2026-03-02T10:00:01+00:00 h bakery[12]: ",
        "Mar  2 10:00:01 h bakery:     ",
    ],
)
def test_levels_right_after_a_tag_of_syslog(header, message, severity, body):
    assert read([header + message]) == [("10:00:01", severity, body)]


@pytest.mark.parametrize("message", ["Error: 0 found", "error: 0 found", "check: error: none", "warning: 3 of 3 ok", "ERROR count is 0"])
@pytest.mark.parametrize("header", ["2026-03-02 10:00:01 INFO ", "[2026-03-02 10:00:01] [INFO] ", "2026-03-02T10:00:01Z\tinfo:\t"])
def test_a_word_of_the_message_is_no_level_where_the_header_has_one(header, message):
    assert read([header + message]) == [("10:00:01", "INFO", message)]


@pytest.mark.parametrize(
    ("message", "severity"),
    [
        ("Error: 0 found", "INFO"),
        ("ERROR: oven is cold", "ERROR"),
        ("WARN oven is cold", "WARN"),
        ("[warning] oven is cold", "WARN"),
        ('level=error msg="oven is cold"', "ERROR"),
        ('{"severity":"CRITICAL","message":"oven is cold"}', "FATAL"),
        ("oven is cold", "INFO"),
    ],
)
def test_a_level_of_the_program_counts_for_more_than_a_priority(message, severity):
    journal = json.dumps({"MESSAGE": message, "PRIORITY": "6", "__REALTIME_TIMESTAMP": "1772445601000000"})
    lines = [journal, f"<30>Mar  2 10:00:01 h bakery[12]: {message}", f"<30>1 2026-03-02T10:00:01Z h bakery 12 - - {message}"]
    assert [found for _, found, _ in read(lines)] == [severity] * 3


ORDER = {"time": "2026-03-02T10:00:01Z", "message": "oven is cold"}


@pytest.mark.parametrize("key", "LogLevel log_level LOG-LEVEL Severity SEVERITY levelname LevelName lvl LVL logSeverity level_str syslog.severity".split())
@pytest.mark.parametrize(("value", "severity"), [("Error", "ERROR"), ("warning", "WARN"), ("DEFAULT", None)])
def test_keys_of_levels(key, value, severity):
    assert read([json.dumps({**ORDER, key: value})]) == [("10:00:01", severity, "oven is cold")]


@pytest.mark.parametrize(
    ("row", "severity"),
    [
        ({"syslog": {"severity": "err", "facility": "daemon"}}, "ERROR"),
        ({"syslog_severity": 4}, "WARN"),
        ({"log": {"syslog": {"severity": {"name": "Error", "code": 3}}}}, "ERROR"),
        ({"level": {"name": "WARNING", "no": 30}}, "WARN"),
        ({"priority": "high"}, None),
        ({"Priority": 1}, None),
        ({"priority": "err"}, "ERROR"),
        ({"LogLevel": 3}, None),
        ({"levels": "error"}, None),
        ({"level": "error", "Severity": "info"}, "ERROR"),
    ],
)
def test_levels_in_objects_and_numbers(row, severity):
    assert read([json.dumps({**ORDER, **row})]) == [("10:00:01", severity, "oven is cold")]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"eventVersion": "1.08", "eventTime": "2026-03-02T10:00:01Z", "eventSource": "ec2.amazonaws.com", "eventName": "RunInstances",
          "userIdentity": {"type": "IAMUser", "userName": "ann"}, "errorCode": "Client.UnauthorizedOperation", "errorMessage": "You are not authorized."},
         ("10:00:01", None, "RunInstances on ec2.amazonaws.com by IAMUser ann: Client.UnauthorizedOperation: You are not authorized.")),
        ({"eventVersion": "1.08", "eventTime": "2026-03-02T10:00:01Z", "eventSource": "signin.amazonaws.com", "eventName": "ConsoleLogin",
          "userIdentity": {"type": "Root"}, "errorMessage": "Failed authentication", "responseElements": {"ConsoleLogin": "Failure"}},
         ("10:00:01", None, "ConsoleLogin on signin.amazonaws.com by Root: Failed authentication: ConsoleLogin Failure")),
        ({"eventVersion": "1.08", "eventTime": "2026-03-02T10:00:01Z", "eventSource": "s3.amazonaws.com", "eventName": "GetObject", "userIdentity": None},
         ("10:00:01", None, "GetObject on s3.amazonaws.com")),
        ({"severity": "ERROR", "jsonPayload": {"message": "oven is cold"}, "timestamp": "2026-03-02T10:00:01Z"}, ("10:00:01", "ERROR", "oven is cold")),
        ({"severity": "DEFAULT", "textPayload": "oven is cold", "receiveTimestamp": "2026-03-02T10:00:02Z"}, (None, None, "oven is cold")),
        ({"text": "long\n", "record": {"level": {"name": "ERROR", "no": 40}, "message": "oven is cold", "time": {"repr": "x", "timestamp": 1772445601.5}}},
         ("10:00:01", "ERROR", "oven is cold")),
        ({"EventTimestamp": "2026-03-02T10:00:01Z", "msg": "oven is cold"}, ("10:00:01", None, "oven is cold")),
    ],
)  # fmt: skip
def test_json_of_services(row, expected):
    assert read([json.dumps(row)]) == [expected]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2026-03-02 10:00:01.123  1702-1702  System.err              com.example.oven                     W  java.lang.NullPointerException",
         ("10:00:01", "WARN", "java.lang.NullPointerException")),
        ("2026-03-02 10:00:01.123  1702-2395  Probe   pid-1702   D  warm", ("10:00:01", "DEBUG", "warm")),
        ("10:00:01 WARNING  shop.till:till.py:7 drawer slow", (None, "WARN", "drawer slow")),
        ("CRITICAL root:test_till.py:17 drawer jammed", (None, "FATAL", "drawer jammed")),
        ("INFO 2026-03-02 10:00:01,123 basehttp 812 140123456789 listening", ("10:00:01", "INFO", "listening")),
        ("2026-03-02 10:00:01,123 INFO  [IPC Server handler 3 on 9000] ipc.Server (Server.java:run(2180)) - caught an exception",
         ("10:00:01", "INFO", "caught an exception")),
        ("2026-03-02 10:00:01,123 INFO  ipc.Server (Server.java:run(2180)) - caught an exception", ("10:00:01", "INFO", "caught an exception")),
        ("2026-03-02 10:00:01,123 [main] WARN  c.e.Till (Till.java:12) - slow", ("10:00:01", "WARN", "slow")),
        ("2026-03-02 10:00:01,123 ERROR views 812 140123456789012 Internal Server Error", ("10:00:01", "ERROR", "Internal Server Error")),
        ("2026-03-02 10:00:01 INFO sold 12 140123 coins", ("10:00:01", "INFO", "sold 12 140123 coins")),
        ("2026-03-02 10:00:01 INFO connection (db1:5432) refused", ("10:00:01", "INFO", "connection (db1:5432) refused")),
        ("[2026-03-02 10:00:01] ERROR [db1:5432] refused", ("10:00:01", "ERROR", "[db1:5432] refused")),
        ("update-alternatives 2026-03-02 10:00:01: link group vi updated to point to /usr/bin/vim.basic",
         ("10:00:01", None, "link group vi updated to point to /usr/bin/vim.basic")),
        ("2026-03-02T10:00:01+00:00 web1 sudo:      ann : 3 incorrect password attempts ; TTY=pts/0",
         ("10:00:01", None, "ann : 3 incorrect password attempts ; TTY=pts/0")),
        ("Mar  2 10:00:01 [4711] ann@shop FATAL:  the database system is starting up", ("10:00:01", "FATAL", "the database system is starting up")),
        ("Mar  2 10:00:01.123 GMT [4711]: [3-1] db=shop,user=ann LOG:  duration: 3.1 ms", ("10:00:01", "INFO", "duration: 3.1 ms")),
        ("Mar  2 10:00:01 CET db1 [4711] ERROR:  deadlock detected", (None, "ERROR", "deadlock detected")),  # a zone without a year is not read
        ("Mar  2 10:00:01 db1 postgres[4711]: [3-1] ERROR:  deadlock detected", ("10:00:01", "ERROR", "deadlock detected")),
        ("I, [2026-03-02T10:00:01.678835 #7]  INFO -- : Completed 500 Internal Server Error in 12ms",
         ("10:00:01", "INFO", "Completed 500 Internal Server Error in 12ms")),
    ],
)  # fmt: skip
def test_headers_with_more_than_time_and_level(line, expected):
    assert read([line]) == [expected]


@pytest.mark.parametrize(
    ("message", "severity"),
    [
        ("TLS Error: TLS handshake failed", "ERROR"),
        ("VERIFY ERROR: depth=0, error=certificate has expired: CN=ann", "ERROR"),
        ("Authenticate/Decrypt packet error: bad packet ID (may be a replay)", "ERROR"),
        ("TLS_ERROR: BIO read tls_read_plaintext error", "ERROR"),
        ("OpenSSL: error:1408F10B:SSL routines:ssl3_get_record:wrong version number", "ERROR"),
        ("WARNING: 'link-mtu' is used inconsistently", "WARN"),
        ("SIGUSR1[soft,ping-restart] received, client-instance restarting", None),
        ("TLS: Initial packet from [AF_INET]192.0.2.7:51234, sid=3f9c1a77", None),
    ],
)
@pytest.mark.parametrize("time", ["Mon Mar  2 10:00:01 2026", "2026-03-02 10:00:01", "Mon Mar  2 10:00:01 2026 us=123456"])
@pytest.mark.parametrize("client", ["192.0.2.7:51234 ", "ann/192.0.2.7:51234 ", ""])
def test_words_of_openvpn(time, client, message, severity):
    assert read([f"{time} {client}{message}"]) == [("10:00:01", severity, message)]


def test_each_command_of_the_general_query_log_is_a_record():
    lines = [
        "260302 10:00:01\t    9 Connect\troot@localhost on shop",
        "\t\t    9 Query\tSELECT name",
        "FROM items",
        "\t\t    9 Init DB\tshop",
        "\t\t   12 Quit\t",
        "260302 10:00:02\t   10 Connect\troot@localhost on ",
    ]
    assert read(lines) == [
        ("10:00:01", None, "Connect\troot@localhost on shop"),
        (None, None, "Query\tSELECT name\nFROM items"),
        (None, None, "Init DB\tshop"),
        (None, None, "Quit\t"),
        ("10:00:02", None, "Connect\troot@localhost on "),
    ]


def test_indented_lines_belong_to_the_message_of_cmake():
    lines = [
        "CMake Error at CMakeLists.txt:5 (find_package):",
        "  By not providing",
        "",
        "Call Stack (most recent call first):",
        "  CMakeLists.txt:9 (oven)",
        "-- Done",
    ]
    assert [(severity, body.count("\n")) for _, severity, body in read(lines)] == [("ERROR", 4), (None, 0)]
