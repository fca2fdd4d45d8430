"""Which lines belong to one record: each text of a case is one, whatever stands before and behind it."""

from __future__ import annotations

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
