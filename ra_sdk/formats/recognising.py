"""Which format each line has: the first of the ordered formats whose header it begins with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

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
        rivals = [self.kinds[rival] for rival in self._rivals(code)]
        if not rivals or not hit.any():
            return hit
        return hit.scatter(hit.arg_true(), ~_any_of(rivals, lines if hit.all() else lines.filter(hit)))

    def _in_order(self, left: _Left) -> None:
        for first, last, pattern in self._groups:
            some = left.lines.str.contains(pattern)
            if some.any():
                here = _Left(left.lines.filter(some))
                for code in range(first, last):
                    here.take(self.kinds[code].has(here.lines), code)
                left.take_each(some, here)

    @cached_property
    def _groups(self) -> list[tuple[int, int, str]]:
        """Neighbours that are tried as one: the codes from the first to that behind the last, and a pattern that all their lines match."""
        patterns = [str(getattr(kind, "pattern", "")) for kind in self.kinds]
        firsts = range(0, len(patterns), TOGETHER)
        return [(first, min(first + TOGETHER, len(patterns)), _one_of(patterns[first : first + TOGETHER])) for first in firsts]

    def _rivals(self, code: int) -> list[int]:
        """Formats before this one that its lines may have as well: those with an example that has both, or without examples."""
        if code not in self._known_rivals:
            import polars as pl

            found = list[int]()
            for rival, kind in enumerate(self.kinds[:code]):
                examples = [example.line for example in getattr(kind, "examples", ())]
                if not examples or self.kinds[code].has(pl.Series(examples, dtype=pl.String)).any():
                    found.append(rival)
            self._known_rivals[code] = found
        return self._known_rivals[code]

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
            rows = self._rows.filter(some)
            self.codes = self.codes.scatter(rows.filter(known), found.codes.filter(known))
            for code, count in found.counts.items():
                self.counts[code] = self.counts.get(code, 0) + count
            self._keep(~self._rows.is_in(rows.filter(known).implode()))

    def _keep(self, keep: pl.Series) -> None:
        self.lines, self._rows = self.lines.filter(keep), self._rows.filter(keep)


def _one_of(patterns: Sequence[str]) -> str:
    return "|".join(f"(?:{pattern})" for pattern in patterns)


def _any_of(kinds: Sequence[Any], lines: pl.Series) -> pl.Series:
    """Boolean: the line has one of these formats."""
    import polars as pl

    patterns = [str(getattr(kind, "pattern", "")) for kind in kinds]  # one of a plugin may have none
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
