"""The knowledge table: what is known about phrases, codes and statements in logs, and who writes them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from threading import Lock

from ra_sdk import config
from ra_sdk.knowledge import leftout
from ra_sdk.knowledge.choosing import Candidate, best, features_of
from ra_sdk.knowledge.composing import composed, introduced
from ra_sdk.knowledge.entries import Entry, from_toml, packaged, speakers, unique
from ra_sdk.knowledge.phrases import Hit, Phrases, as_mined, folded
from ra_sdk.knowledge.statements import Statements
from ra_sdk.knowledge.who import Speakers
from ra_sdk.records import Verdict
from ra_sdk.templates.quotes import clause, shortened

__all__ = ["Knowledge", "own", "users"]

TELLING, NEAR = 4, 6  # words: a phrase of so many is quoted as it is, a shorter one with its neighbours up to so many
DATA = Path(__file__).parent / "data"


@cache
def own() -> tuple[Entry, ...]:
    """The package's entries."""
    phrases = [entry for path in sorted((DATA / "phrases").glob("*.jsonl")) for entry in packaged(path, "phrase")]
    statements = [entry for path in sorted((DATA / "statements").glob("*.jsonl")) for entry in packaged(path, "statement")]
    return (*phrases, *statements)


def users(files: Iterable[str | Path] = ()) -> list[Entry]:
    """The user's entries: of the files that are named, then of ``knowledge/*.toml`` in the configuration directory. Raises BadKnowledge."""
    found = [*map(Path, files), *sorted((config.directory() / "knowledge").glob("*.toml"))]
    return [entry for path in found for entry in from_toml(path)]


class Knowledge:
    """What is known, ready to be asked. The tables are read when the first template is asked about, which takes about a second.

    ``more``: entries of the user and of plugins; where an id is the same, theirs is taken. ``left_out``: ids of entries
    that are not to be used; None: those that the user marked as wrong. ``own``: other entries than the package's.
    """

    def __init__(self, more: Sequence[Entry] = (), *, left_out: Collection[str] | None = None, own: Sequence[Entry] | None = None) -> None:
        self._more, self.hidden = as_mined(more)
        self._own = own
        self._left_out = leftout.ids() if left_out is None else frozenset(left_out)
        self._tables: tuple[Phrases, Statements, Speakers] | None = None
        self._lock = Lock()

    def entries(self) -> dict[str, Entry]:
        """All entries by id, the user's first."""
        theirs = own() if self._own is None else self._own
        return unique(entry for entry in (*self._more, *theirs) if entry.id not in self._left_out)

    def explain(self, verdict: Verdict, names: Collection[str] = ()) -> Verdict:
        """The verdict with a reason that is known, or as it is if none fits. ``names``: what the record calls the program that wrote it."""
        chosen = best(self.candidates(verdict.template, names, verdict), abnormal=verdict.abnormal)
        if chosen is None:
            return self._introduced(verdict, names)
        entry = chosen.entry
        quote = _quote(verdict.template, chosen)
        rationale = entry.meaning if entry.kind == "statement" else composed(quote, entry)
        return replace(
            verdict,
            category=verdict.category or entry.category,
            rationale=rationale,
            grounded=True,
            reason_source=entry.kind,
            knowledge=(entry.id,),
            checks=(entry.check,) if entry.check else (),
            links=(entry.link,) if entry.link else (),
        )

    def candidates(self, template: str, names: Collection[str] = (), verdict: Verdict | None = None) -> list[Candidate]:
        """The entries that a template calls up, what fits best first."""
        phrases, statements, speaking = self._read()
        scope = speaking.scope(template, names)
        hits = _longest(list(phrases.hits(template, scope)))
        category = verdict.category if verdict else None
        quote = verdict.evidence[0] if verdict and verdict.evidence else ""
        at = folded(template).find(folded(quote)) if quote else -1
        found = []
        for hit in hits:
            alone = all(other.start >= hit.start for other in hits), all(other.end <= hit.end for other in hits)
            quoted = at >= 0 and hit.start < at + len(quote) and at < hit.end
            made = features_of(hit.entry, hit.phrase, template, likeness=0.0, alone=alone, category=category, quoted=quoted, known=bool(scope))
            found.append(Candidate(hit.entry, hit.start, hit.end, hit.phrase, made))
        for told in statements.told(template, scope):
            made = features_of(told.entry, template, template, likeness=told.likeness, alone=(True, True), category=category, quoted=True, known=bool(scope))
            found.append(Candidate(told.entry, 0, len(template), template, made))
        return sorted(found, key=lambda candidate: (candidate.entry.kind != "runbook", -candidate.fits))

    def _introduced(self, verdict: Verdict, names: Collection[str]) -> Verdict:
        """The model's own reason, with who speaks, if the record or the line tells it beyond doubt."""
        speaking = self._read()[2].of(verdict.template, names)
        if verdict.rationale is None or len(speaking) != 1:
            return verdict
        return replace(verdict, rationale=introduced(verdict.rationale, speaking[0]))

    def _read(self) -> tuple[Phrases, Statements, Speakers]:
        with self._lock:
            if self._tables is None:
                entries = list(self.entries().values())
                by_phrase = [entry for entry in entries if entry.kind != "statement"]
                told = [entry for entry in entries if entry.kind == "statement"]
                path = DATA / "speakers.jsonl"
                self._tables = Phrases(by_phrase), Statements(told), Speakers(speakers(path), (name for entry in entries for name in entry.scope))
            return self._tables


def _longest(hits: list[Hit]) -> list[Hit]:
    """Those that do not lie within a longer phrase of another entry: what is more specific speaks for what is less."""
    spans = [(hit.start, hit.end) for hit in hits]
    return [hit for hit in hits if not any(s <= hit.start and hit.end <= e and e - s > hit.end - hit.start for s, e in spans)]


def _quote(template: str, chosen: Candidate) -> str:
    if chosen.entry.kind == "statement":
        quoted = chosen.entry.meaning.split('"')
        return quoted[1] if len(quoted) > 2 else clause(template, 0, len(template))
    said = shortened(chosen.words.rpartition('"')[2])
    if len(said.split()) >= TELLING:
        opened = said.count(")") > said.count("(") and "(" in template[max(chosen.start - 1, 0) : chosen.start + 1]
        return f"({said}" if opened else said
    quote = clause(template, chosen.start, chosen.end, NEAR)
    return quote if folded(said) in folded(quote) and _balanced(quote) else said


def _balanced(quote: str) -> bool:
    return all(quote.count(one) == quote.count(other) for one, other in ("()", "[]", "{}")) and quote.count("'") % 2 == 0
