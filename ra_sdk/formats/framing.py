"""Which lines are one record.

A line with a header begins a record. A line without one is joined to the record before it only when it looks continued: indented, empty, part of
a stack trace, inside brackets that are open and get closed, SQL after a statement, or as the record's format says. Everything else is a record
of its own, so that nothing is judged as part of a record that it does not belong to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ra_sdk.formats.patterns import ascii_classes, expanded
from ra_sdk.formats.weak import in_question, weak_headers

if TYPE_CHECKING:
    import polars as pl

__all__ = ["LONGEST_RECORD_BYTES", "LONGEST_RECORD_LINES", "starts"]

LONGEST_RECORD_LINES, LONGEST_RECORD_BYTES = 500, 64 << 10  # what follows is a record of its own
LOOKED_AHEAD = 10  # lines that are looked at for brackets to be closed, for each line
QUOTED_LINES = 20  # a quotation that is not closed by then was none

BLANK, INDENTED, FRAME, EXCEPTION, TRACEBACK, PANIC, UNCAUGHT, SCRIPT, NODE, GOROUTINE, DETAIL, SQL, CALL, CLASS, EXIT = range(15)
GUTTER, NOTE, CAUSE, REPORT, BLOCK, OTHER = range(15, 21)
_KINDS = {  # what a line without a header looks like, the first that fits; all unindented but the first two
    BLANK: r"^\s*$",
    INDENTED: r"^[ \t]",
    TRACEBACK: r"^Traceback \(most recent call last\):",
    PANIC: r"^(?:panic: |fatal error: |runtime: goroutine stack exceeds|thread '[^']*'(?: \(\d+\))? panicked at )",
    EXIT: r"^exit status \d+\s*$",
    UNCAUGHT: r"^\S+\.(?:rb|erb|rake|ru):\d+:in [`'][^']*': \S",  # Ruby's own report, which names the error behind the place
    SCRIPT: r"^(?:node:[\w/]+|(?:file://)?[\w@./:\\-]+\.[cm]?[jt]sx?):\d+\s*$",  # Node's own report begins with the place
    NODE: r"^Node\.js v\d",  # and ends with the version
    GOROUTINE: r"^(?:goroutine \d+ (?:gp=\S+ m=\S+ (?:mp=\S+ )?)?\[|\[signal )",
    DETAIL: r"^(?:LINE \d+: |(?:DETAIL|HINT|CONTEXT|QUERY|STATEMENT): )",
    GUTTER: r"^(?:(?:> ?)?\d+ +\|(?: |$)|\.\.\.\s*$)",  # a line of the program, as compilers quote it
    REPORT: r"^_{3,} \S.* _{3,}$",  # the heading of a test that failed
    BLOCK: r"^(?:/\*{4,}\s*$|-----BEGIN [A-Z0-9 ]+-----\s*$)",
    EXCEPTION: r"^(?:[A-Za-z_][\w$]*[./\\])+[A-Z][\w$]*(?:Error|Exception|Throwable|Failure|Interrupt|Exit|Warning)(?:: |:?$| \()",
    FRAME: r"^(?:Caused by:(?: |\s*$)|Suppressed: |\.\.\. \d+ (?:more|common)|During handling of the above|The above exception was the direct|"
    r"created by [\w./*()]+|(?:[Ss]tack )?[Bb]acktrace:|Location:\s*$|note: (?:run with|[Ss]ome details are omitted)|Stack trace:|#\d+ |"
    r"Next [\w\\]+(?:: |$)|--- End of |---> |ClientConnectionId:|Error Number:\d|\*\* (?:Last |When |Reason |State|[{(\[])|"
    r"at [\w$.<>\[\]`]+\(|at .+ \(.+:\d+:\d+\)$|File \"[^\"]+\", line \d+|"
    r"(?:from )?\S+\.(?:rb|erb|rake|ru):\d+:in |[\])}]+[;,.]?\s*$|"
    r"\d{1,3}(?:\.\d+)?\. (?:.* @ 0x[0-9a-f]+|inlined from )|"  # native code: ClickHouse
    r"\d{1,3}: (?:0x[0-9a-f]{4,}|[\w<>{}$]+(?:::[\w<>{}$&*, ]+)+|\S+\()|"  # Rust
    r"Last message(?: \(from .*\))?: |State: [%{\[#]|"  # Elixir
    r"\d{1,3} +\S+ +0x[0-9a-f]{6,} \S|"  # macOS
    r"(?:(?:(?:/|[\w.-]+/)\S*|\S+\.so[\w.]*)\(.*\) ?)?\[0x[0-9a-f]+\]\s*$)",  # glibc
    NOTE: r"^(?:note|help): ",
    CAUSE: r"^(?:[A-Za-z]+[ -]){0,4}?(?:[Ss]tack ?[Tt]race|[Bb]ack ?[Tt]race|(?:Caused|Wrapped|Triggered) by|(?:[Rr]oot|[Oo]riginal) [Cc]ause|"
    r"(?:[Nn]ested|[Ii]nner|[Ee]nclosed|[Oo]riginal) (?:[Ee]xception|[Ee]rror))(?: \(\d+\))?:",
    CALL: r"^[\w./*()$\[\]{}-]+\(.*\)$",
    SQL: r"^(?i:select|from|where|and|or|order by|group by|having|limit|offset|(?:left |right |inner |outer |full |cross )*join|on|values|set|"
    r"returning|union|into|as|case|when|then|else|end|with|using|for update|\)|\(|--|/\*)(?-i:\b|$|\(|[ ,;)])",
    CLASS: r"^[A-Za-z_][\w$/-]*(?:\.[\w$/()*-]+)+(?:: .*)?$",  # a class or function with its package
}
_KINDS = {kind: ascii_classes(pattern) for kind, pattern in _KINDS.items()}
_STATEMENT = re.compile(r"\b(?:select|insert\s+into|update|delete\s+from|with|create|alter|drop|merge|explain|call|statement|query|sql)\b[^;]*$", re.IGNORECASE)
_NAMED = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Warning|Interrupt|Exit|Group)?(?::|$)")  # what ends a Python traceback
_THROWN = re.compile(r"(?:Uncaught )?(?:[A-Za-z_$][\w$.]*(?: \[\w+\])?: \S|[A-Z]\w*(?:Error|Exception)\s*$)")
_SEVERE = re.compile(  # what a record says that speaks of a failure
    r"(?i:error|exception|fail|fatal|crit|severe|warn|unhandled|uncaught|panic|crash|abort)|"
    r"\b(?:E|F|ERR|ALERT|EMERG)\b|^[EF]\d{4} "
)
_VALUE = re.compile(r"[{\[]|<<")
_CARET = re.compile(r"\s*\^+\s*$")
_PLACE = re.compile(r"\s+(?:at |\S+\.\w+:\d+)")  # of a function, on a line of its own
_FIRST = (PANIC, UNCAUGHT, SCRIPT)  # lines that begin a report
_QUOTED = re.compile(r"\s*(?:-->|(?:> ?)?\d* *\||=|\.\.\.$)")  # a place in a program, lines of it, and a remark
_ERROR = r"(?:Error|Exception|Throwable|Failure)\b[^:]{0,80}:(?:\s|$)"
_FAILED = re.compile(r"E\s|\S+\.py:\d+: ")  # pytest's: what failed, and where
_REPORT_END = re.compile(r"(?:={3,}|-{3,}|_{3,}) .* (?:={3,}|-{3,}|_{3,})$")
_BLOCK_END = re.compile(r"\*{4,}/\s*$|-----END [A-Z0-9 ]+-----\s*$")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_PAIRS = {"{": "}", "[": "]", "(": ")"}


def starts(texts: pl.Series, codes: pl.Series, kinds: Sequence[Any], adjacent: pl.Series, *, whole: bool) -> pl.Series:
    """Boolean: the line begins a record.

    ``codes``: of the line's format, negative for none. ``adjacent``: it stands right behind the line before. ``whole``: no more are to come.
    """
    headed = codes >= 0
    present = [code for code in codes.unique().to_list() if code >= 0]
    open_heads = codes.is_in([code for code in present if getattr(kinds[code], "until", "")])
    weak = weak_headers(texts, codes, kinds)
    follows = ~headed | open_heads | open_heads.shift(1, fill_value=False)
    follows |= in_question(weak, texts, codes, kinds)
    if not follows.any():
        return headed
    rows = (follows | follows.shift(-1, fill_value=False) | follows.shift(1, fill_value=False)).arg_true()
    unfinished = not whole and rows[-1] == len(texts) - 1
    columns = (column.gather(rows) for column in (texts, codes, adjacent, weak))
    lines = _Lines(*columns, kinds=kinds, unfinished=unfinished)
    apart = rows.diff().fill_null(2) > 1  # what stands between are headers
    return _capped(texts, headed.scatter(rows, _framed(lines, apart.to_list())))


class _Lines:
    """Lines and what they look like, by columns; texts as Python's on first use.

    ``unfinished``: more lines are to come behind the last. What depends on them is held open, so that it is decided when they are there.
    """

    def __init__(self, *columns: pl.Series, kinds: Sequence[Any], unfinished: bool) -> None:
        import polars as pl

        texts, codes, adjacent, weak = columns
        self._texts, self.unfinished = texts, unfinished
        self.adjacent: list[bool] = adjacent.to_list()
        self.codes: list[int] = codes.to_list()
        self.weak: list[bool] = weak.to_list()
        present = {code for code in self.codes if code >= 0}
        self.closed = {code for code in present if getattr(kinds[code], "closed", False)}
        line = pl.col("line")
        chain: Any = pl
        for kind, pattern in _KINDS.items():
            chain = chain.when(line.str.contains(pattern)).then(pl.lit(kind, pl.UInt8))
        found = (
            texts.alias("line")
            .to_frame()
            .select(
                kind=chain.otherwise(pl.lit(OTHER, pl.UInt8)),
                traceback=line.str.contains(r"Traceback \(most recent call last\):\s*$"),
                colon=line.str.contains(r":\s*$"),
                opens=(line.str.count_matches(r"[{\[]") > line.str.count_matches(r"[}\]]")) | line.str.contains(r"\(\s*$"),
                quote=line.str.count_matches('"') % 2 == 1,
                error=line.str.contains(ascii_classes(_ERROR)),
            )
        )
        self.kinds: list[int] = found["kind"].to_list()
        self.tracebacks: list[bool] = found["traceback"].to_list()
        self.colon: list[bool] = found["colon"].to_list()
        self.opens: list[bool] = found["opens"].to_list()
        self.quote: list[bool] = found["quote"].to_list()
        self.error: list[bool] = found["error"].to_list()
        self.ends, self.continues = _by_format(texts, codes, kinds)
        self._list: list[str] | None = None

    def text(self, row: int) -> str:
        if self._list is None:
            self._list = self._texts.to_list()
        return self._list[row]


def _by_format(texts: pl.Series, codes: pl.Series, kinds: Sequence[Any]) -> tuple[dict[int, list[bool]], dict[int, list[bool]]]:
    """For each format that has a rule: whether a line ends a record of it, and whether it continues one."""
    ends, continues = dict[int, list[bool]](), dict[int, list[bool]]()
    for code in codes.unique().to_list():
        kind = kinds[code] if code >= 0 else None
        if until := getattr(kind, "until", ""):
            ends[code] = texts.str.contains(expanded(until)).to_list()
        if continuation := getattr(kind, "continuation", ""):
            continues[code] = texts.str.contains(f"^(?:{expanded(continuation)})").to_list()
    return ends, continues


def _framed(lines: _Lines, apart: Sequence[bool]) -> list[bool]:
    """The decision line by line; only lines without a header, and the one before them, are asked about."""
    record = _Record(lines)
    found = []
    for row in range(len(lines.codes)):
        begins = record.row < 0 or (apart[row] and lines.codes[row] >= 0) or not record.goes_on(row)
        record.add(row, begins=begins)
        found.append(begins)
    return found


class _Record:
    """The record that is being put together: what its lines so far say of the next."""

    def __init__(self, lines: _Lines) -> None:
        self.lines, self.row, self.code = lines, -1, -1
        self.until = -1  # the row up to which brackets, a quotation or the format's rule keep it open
        self.panic = self.node = self.closed = self.trace = self.traced = self.statement = self.thrown = False
        self.budget = LOOKED_AHEAD * (len(lines.codes) + LONGEST_RECORD_LINES)  # so that no input makes it quadratic

    def goes_on(self, row: int) -> bool:
        """Whether a line continues the record."""
        lines = self.lines
        kind, headed = lines.kinds[row], lines.codes[row] >= 0
        if self.code in lines.closed:
            return kind == BLANK
        if row <= self.until and (not headed or kind == INDENTED or self._by_format(row)):
            return True
        if (not headed or lines.weak[row]) and self.code not in lines.ends and self._continues(row):
            return True
        if (kind == DETAIL and self.traced) or (self.node and lines.kinds[row - 1] == BLANK and self._caret(row - 2)):
            return True
        if lines.weak[row] and (self._is_value(row) or self._is_thrown(row)):
            return True
        if headed or kind in _FIRST:
            return False
        if kind in (BLANK, INDENTED):
            return True
        return not self.closed and (self._is_trace(row, kind) or self._announced(row) or self._in_trace(row))

    def add(self, row: int, *, begins: bool) -> None:
        """Take the line in."""
        lines, kind = self.lines, self.lines.kinds[row]
        if begins:
            self.row, self.code, self.until = row, lines.codes[row], -1
            self.panic, self.node = kind == PANIC, kind == SCRIPT and self._caret(row + 2)
            self.closed = self.trace = self.traced = self.statement = self.thrown = False
        self.panic = self.panic or kind == GOROUTINE
        self.closed = self.closed or (kind == EXIT and self.panic) or (kind == NODE and self.node)
        self.trace = lines.tracebacks[row] or (self.trace and kind in (BLANK, INDENTED, FRAME))
        self.traced = self.traced or self.trace
        self.thrown = self.thrown or kind == EXCEPTION or lines.error[row]
        if row > self.until:
            self.until = max(self._closing(row), self._format_end(row) if begins else -1)

    def _is_trace(self, row: int, kind: int) -> bool:
        """A line of a stack trace that is known by its looks. Without a header before it, an exception is a report of its own."""
        lines = self.lines
        if kind in (FRAME, GOROUTINE):
            return True
        if kind == CAUSE:
            return self.code >= 0 or self.thrown
        if kind in (GUTTER, NOTE):
            quoted = row - 1 > self.row and _QUOTED.match(lines.text(row - 1)) is not None
            return quoted and (kind == GUTTER or self._follows(row, _QUOTED))
        if kind == TRACEBACK:
            known = self.code >= 0 or self.traced or _SEVERE.search(lines.text(row - 1)) is not None
            return lines.adjacent[row] and known
        if kind == EXCEPTION:
            return self.code >= 0 or self.traced
        if kind == EXIT:
            return self.panic
        return self.node and (kind == NODE or row <= self.row + 2)

    def _is_value(self, row: int) -> bool:
        """A value that the line before announces."""
        lines = self.lines
        return lines.colon[row - 1] and _VALUE.match(lines.text(row)) is not None

    def _is_thrown(self, row: int) -> bool:
        """Name and message of what was thrown, frames below them, right behind a record that speaks of a failure."""
        lines = self.lines
        if self.code < 0 or lines.weak[self.row] or (lines.codes[row] >= 0 and not lines.weak[row]):
            return False
        if not (lines.adjacent[row] and _THROWN.match(lines.text(row)) and _SEVERE.search(lines.text(self.row))):
            return False
        follow = self._frames_follow(row)
        self.thrown = self.thrown or follow
        return follow

    def _caret(self, row: int) -> bool:
        """Node marks a place in a line of code."""
        lines = self.lines
        return _CARET.match(lines.text(row)) is not None if row < len(lines.codes) else lines.unfinished

    def _announced(self, row: int) -> bool:
        """The line before says that something follows: it ends with a colon, or is a statement in SQL."""
        lines, before = self.lines, row - 1
        if lines.colon[before]:
            return True
        if lines.kinds[row] == SQL and before >= self.row:
            self.statement = self.statement or bool(_STATEMENT.search(lines.text(self.row)))
            return self.statement
        return self.statement and lines.text(before).rstrip().endswith(",")

    def _in_trace(self, row: int) -> bool:
        """Part of a panic, the end of a traceback, a function above its place, or a message of several lines that a stack trace follows."""
        lines, kind = self.lines, self.lines.kinds[row]
        if self.panic and kind == CALL:
            return True
        if (self.trace or (self.traced and lines.kinds[row - 1] == INDENTED)) and _NAMED.match(lines.text(row)):
            return True
        if kind == OTHER and self._is_thrown(row):
            return True
        if kind in (CALL, CLASS) and (self.code >= 0 or self.panic):
            return self._follows(row, _PLACE)
        return self.thrown and not lines.error[row] and self._frames_follow(row)

    def _follows(self, row: int, pattern: re.Pattern[str]) -> bool:
        """Whether the next line begins as the pattern says."""
        lines = self.lines
        return pattern.match(lines.text(row + 1)) is not None if row + 1 < len(lines.codes) else lines.unfinished

    def _frames_follow(self, row: int) -> bool:
        lines = self.lines
        for ahead in range(row + 1, min(row + 10, len(lines.codes))):
            if lines.codes[ahead] >= 0 or lines.kinds[ahead] == BLANK or lines.error[ahead]:
                return False
            if lines.kinds[ahead] == INDENTED and lines.text(ahead).lstrip().startswith("at "):
                return True
        return lines.unfinished and row + 10 > len(lines.codes)

    def _by_format(self, row: int) -> bool:
        """A line with a header that belongs to the record nevertheless: its format says so, and it is open."""
        lines = self.lines
        return self._continues(row) or (self.code in lines.ends and lines.codes[row] != self.code and lines.ends[self.code][row])

    def _continues(self, row: int) -> bool:
        return self.code in self.lines.continues and self.lines.continues[self.code][row]

    def _format_end(self, row: int) -> int:
        """The row on which a record of this format ends; -1 where it does not say, or the end is not there."""
        lines = self.lines
        if self.code not in lines.ends:
            return -1
        ends, continues = lines.ends[self.code], lines.continues.get(self.code)
        for ahead in range(row, min(row + LONGEST_RECORD_LINES, len(lines.codes))):
            if continues is not None and ahead > row and continues[ahead]:
                continue
            if ahead > row and lines.codes[ahead] == self.code:
                return -1
            if ends[ahead]:
                return ahead
            if ahead > row and lines.codes[ahead] >= 0:
                return -1
        return len(lines.codes) if lines.unfinished else -1

    def _closing(self, row: int) -> int:
        """The row on which what this line opens is closed: brackets, a quotation, a block, a report; -1 for none."""
        lines = self.lines
        if lines.kinds[row] == REPORT:
            return self._report_end(row)
        if lines.kinds[row] == BLOCK:
            return self._block_end(row)
        if lines.opens[row]:
            return self._bracket_end(row)
        return self._quote_end(row) if lines.quote[row] else -1

    def _block_end(self, row: int) -> int:
        lines = self.lines
        for ahead in self._ahead(row):
            if lines.codes[ahead] >= 0:
                return -1
            if _BLOCK_END.match(lines.text(ahead)):
                return ahead
        return self._open_end(row)

    def _report_end(self, row: int) -> int:
        """The last line that says what failed, or where, before what can only be another part of the report."""
        lines, end = self.lines, -1
        for ahead in self._ahead(row):
            text = lines.text(ahead)
            if _FAILED.match(text):
                end = ahead
            elif _REPORT_END.match(text) or (lines.codes[ahead] >= 0 and lines.kinds[ahead] != INDENTED):
                return end
        return max(end, self._open_end(row))

    def _ahead(self, row: int) -> Iterator[int]:
        """The rows behind one that its record may have, while the budget lasts."""
        for ahead in range(row + 1, min(row + LONGEST_RECORD_LINES, len(self.lines.codes))):
            self.budget -= 1
            if self.budget < 0:
                return
            yield ahead

    def _open_end(self, row: int) -> int:
        """The end of what has not ended yet, where it may still come."""
        lines = self.lines
        return len(lines.codes) if lines.unfinished and row + LONGEST_RECORD_LINES > len(lines.codes) else -1

    def _quote_end(self, row: int) -> int:
        lines = self.lines
        for ahead in range(row + 1, min(row + QUOTED_LINES, len(lines.codes))):
            if lines.codes[ahead] >= 0:
                return -1
            if lines.quote[ahead]:
                return ahead
        return len(lines.codes) if lines.unfinished and row + QUOTED_LINES > len(lines.codes) else -1

    def _bracket_end(self, row: int) -> int:
        lines, depth = self.lines, dict[str, int]()
        for ahead in range(row, min(row + LONGEST_RECORD_LINES, len(lines.codes))):
            self.budget -= 1
            if self.budget < 0:
                return -1
            if ahead > row and lines.codes[ahead] >= 0 and lines.kinds[ahead] != INDENTED:
                return -1
            text = _STRING.sub("", lines.text(ahead))
            counts = {opening: text.count(opening) - text.count(closing) for opening, closing in _PAIRS.items()}
            if ahead == row:
                depth = {opening: count for opening, count in counts.items() if count > 0 and (opening != "(" or text.rstrip().endswith("("))}
            else:
                depth = {opening: count + counts[opening] for opening, count in depth.items()}
            if all(count <= 0 for count in depth.values()):
                return ahead if ahead > row else -1
        return len(lines.codes) if lines.unfinished else -1


def _capped(texts: pl.Series, starts: pl.Series) -> pl.Series:
    """``starts``, with more of them where a record would grow beyond the caps."""
    import polars as pl

    if starts.all():
        return starts
    frame = pl.DataFrame({"start": starts, "bytes": texts.str.len_bytes().cast(pl.Int64)}).with_columns(record=pl.col("start").cum_sum())
    size = pl.col("bytes").cum_sum().over("record") // LONGEST_RECORD_BYTES
    step = pl.int_range(pl.len()).over("record") // LONGEST_RECORD_LINES + size
    return frame.select(pl.col("start") | (step != step.shift(1, fill_value=0)).over("record")).to_series()
