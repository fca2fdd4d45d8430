"""Which format each line has: the first of the ordered formats whose header it begins with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ra_sdk.formats.beginnings import common_beginning, may_begin

if TYPE_CHECKING:
    import polars as pl

__all__ = ["NONE", "Recogniser"]

NONE = -1  # code of a line that has no header
TOGETHER = 12  # patterns that are tried as one before each of them is
HEAD = 500  # lines that say what a source shows, before it is known
FREQUENT = 4  # formats of a source that are tried before all others


@dataclass(eq=False)
class Recogniser:
    """Finds the code of each line: the place of its format in ``kinds``, or NONE.

    What a source has shown is tried first, which is a matter of speed alone: a line has the same code in every source.
    """

    kinds: Sequence[Any]
    shown: Counter[int] = field(default_factory=Counter)

    def codes(self, lines: pl.Series) -> pl.Series:
        """Int16: the code of each line."""
        if not self.shown and len(lines) > HEAD:
            self.codes(lines.head(HEAD))
        left = _Left(lines)
        shown = self.shown
        for code, _ in shown.most_common(FREQUENT):
            left.take(self._surely(left.lines, code), code)
            if not len(left.lines):
                break
        else:
            self._in_order(left)
        self.shown = shown + Counter(left.counts)  # a new one: other threads read the old
        return left.codes

    def _surely(self, lines: pl.Series, code: int) -> pl.Series:
        """Boolean: the line has this format, and none that comes before it."""
        hit: pl.Series = self.kinds[code].has(lines)
        if not self._rivals(code) or not hit.any():
            return hit
        some = lines if hit.all() else lines.filter(hit)
        rivals = self._beginning(self._rivals(code), common_beginning(some))
        return hit.scatter(hit.arg_true(), ~_any_of([self.kinds[rival] for rival in rivals], some)) if rivals else hit

    def _in_order(self, left: _Left) -> None:
        for codes, pattern in self._groups(common_beginning(left.lines)):  # few patterns: polars keeps 32 compiled
            some = left.lines.str.contains(pattern)
            if some.any():
                here = _Left(left.lines.filter(some))
                for code in codes:
                    here.take(self.kinds[code].has(here.lines), code)
                left.take_each(some, here)

    def _groups(self, beginning: int | None) -> list[tuple[list[int], str]]:
        """Neighbours that are tried as one: the codes that lines with this beginning may have, and a pattern that all their lines match."""
        if beginning not in self._known_groups:
            codes = self._beginning(range(len(self.kinds)), beginning)
            parts = [codes[first : first + TOGETHER] for first in range(0, len(codes), TOGETHER)]
            self._known_groups[beginning] = [(part, _one_of([_pattern(self.kinds[code]) for code in part])) for part in parts]
        return self._known_groups[beginning]

    def _beginning(self, codes: Iterable[int], beginning: int | None) -> list[int]:
        return [code for code in codes if may_begin(_pattern(self.kinds[code]), beginning)]

    def _rivals(self, code: int) -> list[int]:
        """Formats before this one that its lines may have as well: those with an example that has both, or without examples."""
        if code not in self._known_rivals:
            lines, owners = self._examples
            both = set(owners.filter(self.kinds[code].has(lines)).unique().to_list()) | set(range(len(self.kinds))) - set(owners)
            self._known_rivals[code] = sorted(rival for rival in both if rival < code)
        return self._known_rivals[code]

    @cached_property
    def _examples(self) -> tuple[pl.Series, pl.Series]:
        """The examples of all formats, and the code that each belongs to."""
        import polars as pl

        found = [(example.line, code) for code, kind in enumerate(self.kinds) for example in getattr(kind, "examples", ())]
        return pl.Series([line for line, _ in found], dtype=pl.String), pl.Series([code for _, code in found], dtype=pl.Int64)

    @cached_property
    def _known_groups(self) -> dict[int | None, list[tuple[list[int], str]]]:
        return {}

    @cached_property
    def _known_rivals(self) -> dict[int, list[int]]:
        return {}


class _Left:
    """Lines whose code is not found yet, and the codes that were."""

    def __init__(self, lines: pl.Series) -> None:
        import polars as pl

        self.lines, self._rows = lines, pl.int_range(len(lines), eager=True)
        self.codes = pl.repeat(NONE, len(lines), dtype=pl.Int16, eager=True)
        self.counts: dict[int, int] = {}

    def take(self, hit: pl.Series, code: int) -> None:
        """The lines that are hit have this code."""
        import polars as pl

        count = int(hit.sum())
        if not count:
            return
        self.counts[code] = self.counts.get(code, 0) + count
        if count == len(self.codes):
            self.codes = pl.repeat(code, count, dtype=pl.Int16, eager=True)
        else:
            self.codes = self.codes.scatter(self._rows.filter(hit), code)
        self._keep(~hit)

    def take_each(self, some: pl.Series, found: _Left) -> None:
        """What was found among some of the lines."""
        known = found.codes != NONE
        if known.any():
            self.codes = self.codes.scatter(self._rows.filter(some), found.codes)
            for code, count in found.counts.items():
                self.counts[code] = self.counts.get(code, 0) + count
            self._keep(~some.scatter(some.arg_true(), known))

    def _keep(self, keep: pl.Series) -> None:
        self.lines, self._rows = self.lines.filter(keep), self._rows.filter(keep)


def _pattern(kind: Any) -> str:
    return str(getattr(kind, "pattern", ""))  # one of a plugin may have none


def _one_of(patterns: Sequence[str]) -> str:
    return "|".join(f"(?:{pattern})" for pattern in patterns)


def _any_of(kinds: Sequence[Any], lines: pl.Series) -> pl.Series:
    """Boolean: the line has one of these formats."""
    import polars as pl

    patterns = [_pattern(kind) for kind in kinds]
    maybe = lines.str.contains(_one_of(patterns))
    if not maybe.any():
        return maybe
    some = lines.filter(maybe)
    asked = [not pattern or bool(getattr(kind, "unless", None)) for kind, pattern in zip(kinds, patterns)]
    surely = [pattern for pattern, ask in zip(patterns, asked) if not ask]
    found = some.str.contains(_one_of(surely)) if surely else pl.repeat(value=False, n=len(some), dtype=pl.Boolean, eager=True)
    for kind, ask in zip(kinds, asked):
        if ask and not found.all():
            found = found | kind.has(some)
    return maybe.scatter(maybe.arg_true(), found)
