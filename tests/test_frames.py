"""Which lines belong to one record: each text of a case is one, whatever stands before and behind it."""

from __future__ import annotations

import json

import pytest

from tests.test_cutting import rows

SEPARATOR = "\n%%\n"  # between records
CASES = {
    "spark: a heading before more frames": """\
24/03/02 16:27:48 ERROR Utils: Aborting task
org.apache.spark.SparkException: Job aborted
\tat scala.Foo(Foo.scala:2)

Driver stacktrace:
\tat org.apache.spark.X.y(X.scala:1454)
Caused by: java.lang.ArithmeticException: / by zero
\tat Foo$.main(Foo.scala:3)
%%
24/03/02 16:27:49 INFO SparkContext: Invoking stop() from shutdown hook""",
    "java: other headings of causes": """\
2024-03-02 16:27:48 ERROR failed
com.shop.TillException: jammed
\tat com.shop.Till.open(Till.java:3)
Wrapped by: com.shop.Outer: no
\tat com.shop.A.b(A.java:1)
Root cause:
java.io.IOException: x
\tat c.D.e(D.java:4)
Nested exception:
java.io.IOException: y
\tat c.D.e(D.java:5)
%%
2024-03-02 16:27:49 INFO open""",
    "no heading where nothing was thrown": """\
started
%%
Root cause: disk
%%
Remote stack trace: none
%%
done""",
    "node: a message of two lines": """\
ready
%%
Error: The following dependencies could not be resolved:
  react (imported by /app/x.tsx)
Are they installed?
    at file:///app/dep.js:45603:23
    at run (node:internal/queues:95:5)
%%
listening""",
    "node: a list in the message": """\
Error: Cannot find module './server'
Require stack:
- /app/index.js
- /app/main.js
    at Module._load (node:internal/modules/cjs/loader:901:27) {
  code: 'MODULE_NOT_FOUND'
}
%%
bye""",
    "node: an error without frames takes nothing in": """\
Error: connect failed
%%
retrying
%%
TypeError: f is not a function
see the manual
    at f (/app/x.js:1:2)
%%
bye""",
    "rustc": """\
warning: unused variable: `x`
 --> src/main.rs:2:9
  |
2 |     let x = 1;
  |         ^ help: rename it
  |
  = note: `#[warn(unused_variables)]` on by default

%%
error[E0277]: the trait bound is not satisfied
  --> src/main.rs:10:9
   |
10 |     foo(x);
   |         ^
...
20 |     q
   |     - here
note: required by a bound in `foo`
  --> src/main.rs:3:11
   |
3  | fn foo<T: Bar>(t: T) {}
   |           ^^^
help: consider this
   |
3  | fn foo()
   | ++

%%
error: aborting due to 1 previous error

%%
For more information about this error, try `rustc --explain E0277`.""",
    "babel quotes the program too": """\
SyntaxError: /app/x.js: Unexpected token (2:3)

  1 | a
> 2 | b b
    |   ^
  3 | c
    at f (/app/x.js:1:2)
%%
1 | a table
%%
2 | a table""",
    "pytest": """\
=================================== FAILURES ===================================
%%
__________________________________ test_total __________________________________

cart = <shop.Cart object at 0x7f>

    def test_total(cart):
>       assert cart.total() == 4
E       assert 3 == 4
E        +  where 3 = total()

tests/test_x.py:12: AssertionError
%%
----------------------------- Captured stdout call -----------------------------
%%
adding 3
%%
_________________________________ test_connect _________________________________

    def test_connect():
>       connect()

tests/test_x.py:20:\x20
_ _ _ _ _ _ _ _ _ _ _ _ _ _ _

    def connect():
>       raise OSError('x')
E       OSError: x

shop/db.py:5: OSError
%%
=========================== short test summary info ============================
%%
FAILED tests/test_x.py::test_total - assert 3 == 4""",
    "pytest: short tracebacks, and what cannot be collected": """\
___________________________ ERROR collecting test_x.py ____________________________
ImportError while importing test module '/app/test_x.py'.
Traceback:
test_x.py:1: in <module>
    import foo
E   ModuleNotFoundError: No module named 'foo'
%%
_________________________________ test_connect _________________________________
test_x.py:20: in test_connect
    connect()
E   OSError: x
%%
========================= 2 failed, 1 passed in 0.04s ==========================""",
    "a heading of another kind": """\
___ menu ___
%%
soup
%%
bread""",
    "hadoop": """\
2024-03-02 16:27:47,169 INFO org.apache.hadoop.hdfs.server.namenode.NameNode: STARTUP_MSG:\x20
/************************************************************
STARTUP_MSG: Starting NameNode
STARTUP_MSG:   host = nn1
************************************************************/
%%
2024-03-02 16:27:48,169 INFO org.apache.hadoop.hdfs.server.namenode.NameNode: registered""",
    "blocks that are not announced, and one that is not closed": """\
/*****
Welcome
*****/
%%
-----BEGIN CERTIFICATE-----
MIIB
AAAA
-----END CERTIFICATE-----
%%
/*****
%%
Welcome""",
    "logcat: a crash": """\
--------- beginning of crash
%%
03-02 16:27:47.169  1702  1702 D AndroidRuntime: Shutting down VM
%%
03-02 16:27:47.170  1702  1702 E AndroidRuntime: FATAL EXCEPTION: main
03-02 16:27:47.170  1702  1702 E AndroidRuntime: Process: com.shop, PID: 1702
03-02 16:27:47.170  1702  1702 E AndroidRuntime: java.lang.RuntimeException: Unable to start
03-02 16:27:47.170  1702  1702 E AndroidRuntime: \tat android.app.A.b(A.java:3449)
03-02 16:27:47.171  1702  1702 E AndroidRuntime: Caused by: java.lang.NullPointerException: x
03-02 16:27:47.171  1702  1702 E AndroidRuntime: \tat com.shop.Main.onCreate(Main.java:14)
03-02 16:27:47.171  1702  1702 E AndroidRuntime: \t... 11 more
%%
03-02 16:27:47.180  1702  1702 I Process : Sending signal. PID: 1702 SIG: 9
%%
03-02 16:27:48.180  1800  1800 W System.err: java.io.IOException: no route
03-02 16:27:48.180  1800  1800 W System.err: \tat com.shop.Net.get(Net.java:3)
%%
03-02 16:27:49.180  1800  1800 W System.err: java.io.IOException: no route
03-02 16:27:49.180  1800  1800 W System.err: \tat com.shop.Net.get(Net.java:3)
%%
03-02 16:27:49.180  1800  1801 W System.err: \tat com.shop.Net.get(Net.java:3)""",
    "logcat: brief": """\
E/AndroidRuntime( 1702): FATAL EXCEPTION: main
E/AndroidRuntime( 1702): java.lang.RuntimeException: x
E/AndroidRuntime( 1702): \tat a.b.c(D.java:4)
%%
E/AndroidRuntime( 1703): FATAL EXCEPTION: main
E/AndroidRuntime( 1703): java.lang.RuntimeException: x""",
    "rails: tags on each line of a message": """\
I, [2024-03-02T16:27:47.169000 #31]  INFO -- : [8f1c4a52-1111-4444-8888-000000000001] Started GET "/"
%%
F, [2024-03-02T16:27:47.170000 #31] FATAL -- : [8f1c4a52-1111-4444-8888-000000000001]\x20\x20
[8f1c4a52-1111-4444-8888-000000000001] ActionController::RoutingError (No route matches [GET] "/x"):
[8f1c4a52-1111-4444-8888-000000000001]\x20\x20
[8f1c4a52-1111-4444-8888-000000000001] app/middleware/x.rb:12:in `call'
%%
I, [2024-03-02T16:27:48.169000 #31]  INFO -- : [8f1c4a52-1111-4444-8888-000000000002] Started GET "/"
%%
[ok] no tag of that kind""",
    "rails: a header on each line": """\
F, [2024-03-02T16:27:47.170000 #31] FATAL -- : [8f1c4a52-1111-4444-8888-000000000001]\x20\x20
F, [2024-03-02T16:27:47.170000 #31] FATAL -- : [8f1c4a52-1111-4444-8888-000000000001] A::B (no route):
F, [2024-03-02T16:27:47.170000 #31] FATAL -- : [8f1c4a52-1111-4444-8888-000000000001]\x20\x20
F, [2024-03-02T16:27:47.171000 #31] FATAL -- : [8f1c4a52-1111-4444-8888-000000000001] app/x.rb:12:in `call'
F, [2024-03-02T16:27:47.171000 #31] FATAL -- : [8f1c4a52-1111-4444-8888-000000000001] rack (2.2) lib/y.rb:3:in `call'
%%
F, [2024-03-02T16:27:49.170000 #31] FATAL -- :\x20\x20\x20
F, [2024-03-02T16:27:49.170000 #31] FATAL -- : A::B (no route):
F, [2024-03-02T16:27:49.170000 #31] FATAL -- :\x20\x20\x20
F, [2024-03-02T16:27:49.171000 #31] FATAL -- : app/x.rb:12:in `call'
%%
F, [2024-03-02T16:27:50.171000 #31] FATAL -- : out of memory""",
    "logcat: the long form": """\
--------- beginning of main
%%
[ 03-02 10:00:01.123  1234: 1260 E/SQLiteLog ]
(1) no such table: carts
in the first attempt

%%
[ 03-02 10:00:01.125  1234: 1234 E/AndroidRuntime ]
FATAL EXCEPTION: main
Process: com.shop, PID: 1234
java.lang.NullPointerException: x
\tat com.shop.Till.open(Till.java:3)

%%
[ 03-02 10:00:01.126  1234: 1234 I/Process ]
Sending signal""",
    "django: a traceback between heading and request": """\
Watching for file changes with StatReloader
%%
Internal Server Error: /cart/
Traceback (most recent call last):
  File "/app/views.py", line 3, in cart
    1/0
ZeroDivisionError: division by zero
%%
[02/Mar/2026 10:00:02] "GET /cart/ HTTP/1.1" 500 145""",
    "nothing continues a request": """\
192.0.2.7 - - [02/Mar/2026:10:00:01 +0000] "GET /cart HTTP/1.1" 500 157
%%
Traceback (most recent call last):
  File "/app/views.py", line 3, in cart
ZeroDivisionError: division by zero
%%
192.0.2.7 - - [02/Mar/2026:10:00:02 +0000] "GET /cart HTTP/1.1" 500 157
%%
java.io.IOException: x
\tat a.B.c(B.java:3)""",
    "nest: what was thrown": """\
[Nest] 4711  - 03/02/2026, 10:00:02 PM   ERROR [ExceptionsHandler] no item
Error: no item
    at CartService.find (/app/cart.js:3:1)
%%
[Nest] 4711  - 03/02/2026, 10:00:03 PM   ERROR [ExceptionsHandler] forbidden
NotAllowed [ERR_CART]: only for
members
    at CartService.find (/app/cart.js:3:1)
%%
[Nest] 4711  - 03/02/2026, 10:00:04 PM     LOG [RouterExplorer] Mapped {/cart, GET} route
%%
Error: no item
    at CartService.find (/app/cart.js:3:1)""",
    "no frames, no trace": """\
2026-03-02 10:00:01 ERROR cannot open the drawer
%%
Error: no item
%%
2026-03-02 10:00:02 ERROR cannot close the drawer""",
    "erlang: a term below its message": """\
2026-03-02 10:00:02.123 [error] <0.4711.0> closing AMQP connection <0.4711.0> (a -> b):
{handshake_timeout,frame_header}
%%
2026-03-02 10:00:02.124 [error] <0.4712.0> bad message:
<<"abc">>
%%
=ERROR REPORT==== 2-Mar-2026::10:00:02 ===
closing AMQP connection <0.4711.0> (a -> b):
{handshake_timeout,frame_header}""",
    "erlang: a header on each line": """\
2026-03-02 10:00:02.123456+00:00 [error] <0.4711.0> closing AMQP connection <0.4711.0> (a -> b):
2026-03-02 10:00:02.123456+00:00 [error] <0.4711.0> {handshake_timeout,frame_header}
%%
2026-03-02 10:00:02.125456+00:00 [error] <0.4711.0> ** Generic server x terminating
2026-03-02 10:00:02.125456+00:00 [error] <0.4711.0> ** Last message in was go
%%
2026-03-02 10:00:02.125457+00:00 [error] <0.4711.0> {handshake_timeout,frame_header}""",
    "a value in JSON below its message": """\
2026-03-02 10:00:01 ERROR the till answered:
{"drawer": 4, "state": "jammed"}
%%
2026-03-02 10:00:02 ERROR see also:
%%
{"level": "info", "msg": "up"}""",
    "clickhouse: numbered frames": """\
2026.03.02 10:00:02.123456 [ 4711 ] {} <Error> executeQuery: Code: 241, Stack trace (when copying this message, always include the lines below):

0. DB::Exception::Exception(DB::Exception::MessageMasked&&, int, bool) @ 0x000000000c604577 in /usr/bin/clickhouse
1. inlined from ./src/Common/MemoryTracker.cpp:343: MemoryTracker::allocImpl(long, bool)
2. ? @ 0x00007f2a5c1d6700 in ?
%%
2026.03.02 10:00:03.123456 [ 4711 ] {} <Fatal> BaseDaemon: ########################################
2026.03.02 10:00:03.123457 [ 4711 ] {} <Fatal> BaseDaemon: Stack trace: 0x0c604577 0x0c5f1b2a
2026.03.02 10:00:03.123458 [ 4711 ] {} <Fatal> BaseDaemon: 2. DB::foo() @ 0x000000000c5f1b2a in /usr/bin/clickhouse
%%
2026.03.02 10:00:03.123459 [ 4711 ] {} <Fatal> BaseDaemon: Signal 11""",
    "native frames": """\
2026-03-02 10:00:02 ERROR caught a signal
#0  0x00007f2a5c1d in raise () from /lib/libc.so.6
#1  main () at oven.c:3
%%
2026-03-02 10:00:02 ERROR caught a signal
0: oven::bake::{{closure}}
1: 0x55d0c3f1 - oven::main
%%
2026-03-02 10:00:02 ERROR caught a signal
/usr/bin/oven(main+0x12)[0x55d0]
/lib/libc.so.6(__libc_start_main+0xf3) [0x7f2a]
[0x55d0]
%%
2026-03-02 10:00:02 ERROR caught a signal
0   oven                                0x0000000104c3 main + 12
%%
2026-03-02 10:00:02 INFO to do
%%
1. first item
%%
2: second item""",
    "nothing continues JSON": """\
{"level":50,"time":1772445601123,"msg":"failed"}
%%
Error: declined
    at pay (/app/pay.js:3:1)
%%
{"level":50,"time":1772445602123,"msg":"failed"}
%%
java.io.IOException: x
\tat a.B.c(B.java:3)""",
    "elixir": """\
10:00:02.123 [error] GenServer Shop.Till terminating
** (RuntimeError) jammed
    (shop 0.1.0) lib/till.ex:3: Shop.Till.handle_call/3
Last message (from #PID<0.4.0>): :open
State: %{a: 1}
%%
10:00:03.123 [info] up""",
    "sanitizers": """\
ready
%%
==4711==ERROR: AddressSanitizer: heap-use-after-free on address 0x602000000010
READ of size 4 at 0x602000000010 thread T0
    #0 0x4c3b21 in main /app/oven.c:12:3

0x602000000010 is located 0 bytes inside of 4-byte region
freed by thread T0 here:
    #0 0x493b0d in free (/app/oven+0x493b0d)

SUMMARY: AddressSanitizer: heap-use-after-free /app/oven.c:12:3 in main
==4711==ABORTING
%%
done""",
    "agents that indent": """\
==> Nomad agent started! Log data will stream in below:

%%
    2026-03-02T10:00:01.123Z [INFO]  nomad.raft: initial configuration: index=0
%%
    2026-03-02T10:00:01.124Z [ERROR] nomad: failed""",
}


def read(texts, **options):
    data = "".join(f"{text}\n" for text in texts).encode()
    return rows([data], live=False, **options)


@pytest.mark.parametrize("name", CASES)
def test_records(name):
    texts = CASES[name].split(SEPARATOR)
    counts = [text.count("\n") + 1 for text in texts]
    assert [last - first + 1 for first, last, *_ in read(texts)] == counts


@pytest.mark.parametrize("name", CASES)
def test_records_do_not_depend_on_cuts(name):
    texts = CASES[name].split(SEPARATOR)
    lines = "".join(f"{text}\n" for text in texts).encode().splitlines(keepends=True)
    assert rows(lines) == read(texts)


def test_a_trace_among_other_lines_keeps_its_own():
    head, other = "03-02 16:27:47.170  1702  1702 E AndroidRuntime: ", "03-02 16:27:47.170   900   931 I Am: killing"
    lines = ["FATAL EXCEPTION: main", "Process: a.b, PID: 1702", "java.lang.X: y", "\tat a.b.c(D.java:4)", "\tat a.b.d(D.java:5)"]
    texts = [text for line in lines for text in (head + line, other)]
    found = read(texts)
    assert [row[:2] for row in found] == [(1, 9), *((number, number) for number in (2, 4, 6, 8, 10))]
    assert found[0][3] == "\n".join(lines)
    assert rows([f"{text}\n".encode() for text in texts]) == found
    far = [head + lines[0], *[other] * 30, head + lines[3]]
    assert len(read(far)) == len(far)


def test_a_trace_is_limited_as_other_records_are():
    head = "03-02 16:27:47.170  1702  1702 E AndroidRuntime: "
    found = read([head + "FATAL EXCEPTION: main", *[head + "\tat a.b.c(D.java:4)"] * 1_200])
    assert [row[0] for row in found] == [1, *(row[1] + 1 for row in found[:-1])]
    assert max(row[1] - row[0] for row in found) == 499
    assert all(row[5] == "ERROR" for row in found)
    assert not any(head in row[3] for row in found)
    found = read([head + "FATAL EXCEPTION: main", *[head + "\tat " + "x" * 10_000] * 20])
    assert max(len(row[3]) for row in found) < 80_000


def test_blank_lines_in_front_are_no_record():
    found = read(["", "  ", "2024-03-02 16:27:47 INFO a", "", "2024-03-02 16:27:47 INFO b"])
    assert [(row[0], row[3]) for row in found] == [(3, "a"), (5, "b")]
    assert rows([b"\n", b"\n\n", b"a\n", b"\n", b"b\n"]) == read(["", "", "", "a", "", "b"])
    assert read(["", " ", ""]) == []


TRACE = "    at f (/app/x.js:1:2)"


@pytest.mark.parametrize(
    ("severity", "text"),
    [
        ("ERROR", 'Traceback (most recent call last):\n  File "x.py", line 3, in f\nValueError: bad'),
        ("ERROR", 'Exception in thread "main" java.lang.NullPointerException: x\n\tat a.B.c(B.java:3)'),
        ("ERROR", "java.lang.IllegalStateException: x\n\tat a.B.c(B.java:3)"),
        ("ERROR", f"TypeError: f is not a function\n{TRACE}"),
        ("ERROR", f"Uncaught Error: no\nand more\n{TRACE}"),
        ("ERROR", "/app/x.rb:3:in `f': bad (RuntimeError)\n\tfrom /app/x.rb:5:in `<main>'"),
        ("ERROR", "___ test_total ___\n\n>   assert 3 == 4\nE   assert 3 == 4\n\nx.py:2: AssertionError"),
        ("FATAL", f'/app/x.js:3\n  throw new Error("x");\n  ^\n\nError: x\n{TRACE}\n\nNode.js v18.1.0'),
        ("FATAL", "panic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/app/main.go:8 +0x1d\nexit status 2"),
        ("FATAL", "fatal error: all goroutines are asleep - deadlock!\n\ngoroutine 1 [chan receive]:"),
        ("FATAL", "thread 'main' panicked at src/main.rs:2:5:\nboom\nnote: run with `RUST_BACKTRACE=1`"),
        ("FATAL", "Unhandled exception. System.InvalidOperationException: x\n   at Shop.Main() in /app/M.cs:line 3"),
        ("FATAL", "terminate called after throwing an instance of 'std::runtime_error'\n  what():  x"),
        ("FATAL", "Segmentation fault (core dumped)"),
        ("ERROR", 'Internal Server Error: /cart/\nTraceback (most recent call last):\n  File "x.py", line 3, in f\nValueError: bad'),
        ("ERROR", "Internal Server Error: /cart/"),
        ("WARN", "Forbidden (CSRF cookie not set.): /cart/"),
        ("WARN", "OpenJDK 64-Bit Server VM warning: Sharing is only supported for boot loader classes"),
        (None, "Tracebacks are written to /var/log"),
        (None, "TypeErrors: none found"),
        (None, "No panic: it is well"),
        (None, "panicked users: 3"),
    ],
)
def test_how_a_program_ended_is_severe(severity, text):
    (found,) = read([text])
    assert (found[3], found[5]) == (text, severity)
    wrapped = [f"2025-03-01T10:00:00Z stderr F {line}" for line in text.split("\n")]
    assert read(wrapped)[0][5] == severity


def test_the_body_of_kafka_holds_the_trace():
    text = "[2026-03-02 10:00:02,123] ERROR Error while accepting connection (kafka.network.Acceptor)"
    trace = "java.io.IOException: Too many open files\n\tat sun.nio.ch.A.accept0(Native Method)"
    (found,) = read([f"{text}\n{trace}"])
    assert (found[3], found[5]) == (f"Error while accepting connection\n{trace}", "ERROR")


@pytest.mark.parametrize(
    ("row", "body"),
    [
        ({"msg": "boom: x", "stack": f"Error: boom: x\n{TRACE}"}, f"Error: boom: x\n{TRACE}"),
        ({"msg": "Error: boom", "stack": f"Error: boom\n{TRACE}"}, f"Error: boom\n{TRACE}"),
        ({"msg": "two\nlines", "stack": f"Error: two\nlines\n{TRACE}"}, f"Error: two\nlines\n{TRACE}"),
        (
            {"msg": "failed", "err": {"type": "Error", "message": "boom", "stack": f"Error: boom\n{TRACE}"}},
            f"failed: Error: boom\n{TRACE}",
        ),
        ({"message": "boom", "exception": "a.B: boom\n\tat a.b(C.java:1)"}, "a.B: boom\n\tat a.b(C.java:1)"),
        ({"message": "late", "exception": "a.B: boom\n\tat a.b(C.java:1)"}, "late: a.B: boom\n\tat a.b(C.java:1)"),
        (
            {"message": "late", "exc_info": 'Traceback (most recent call last):\n  File "x.py"\nValueError: y'},
            'late\nTraceback (most recent call last):\n  File "x.py"\nValueError: y',
        ),
        ({"message": f"Error: boom\n{TRACE}", "stack": f"Error: boom\n{TRACE}"}, f"Error: boom\n{TRACE}"),
        ({"message": "late", "error": "boom"}, "late: boom"),
    ],
)
def test_what_message_and_trace_both_say_is_said_once(row, body):
    assert read([json.dumps({"level": "error", **row})])[0][3] == body
