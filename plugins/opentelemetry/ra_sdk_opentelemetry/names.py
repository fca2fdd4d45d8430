"""The attributes that a verdict becomes: what they are called, and which are left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from ra_sdk.plugin import BadOption

if TYPE_CHECKING:
    from ra_sdk.plugin import Verdict

__all__ = ["Names"]


@dataclass(frozen=True, slots=True)
class Names:
    """Names of a verdict's attributes; an empty one is left out.

    ``label`` (normal, abnormal, undecided), ``score`` (double, absent when undecided), ``category`` and ``rationale`` (absent where there is none),
    ``template``. ``uid``, left out unless named: an id of the record that is the same when it is sent again (``log.record.uid`` in the semantic
    conventions), for receivers that drop repeats. Raises BadOption where two have one name.
    """

    label: str = "ra.label"
    score: str = "ra.score"
    category: str = "ra.category"
    rationale: str = "ra.rationale"
    template: str = "log.record.template"
    uid: str = ""

    def __post_init__(self) -> None:
        given = [name for field in fields(self) if (name := getattr(self, field.name))]
        if twice := {name for name in given if given.count(name) > 1}:
            raise BadOption(f"attribute name {min(twice)!r} is given to two of {', '.join(FIELDS)}; give each its own, or none to leave it out")

    @classmethod
    def of(cls, options: Mapping[str, str]) -> Names:
        """From a URL's query: ``?score=my.score&rationale=``."""
        return cls(**{name: options[name] for name in FIELDS if name in options})

    @property
    def all(self) -> frozenset[str]:
        """Those that are in use."""
        return frozenset(name for field in fields(self) if (name := getattr(self, field.name)))

    def attributes(self, verdict: Verdict) -> dict[str, Any]:
        """A verdict's attributes, those that differ from record to record aside (rationale and uid)."""
        found = {self.label: verdict.label, self.score: verdict.score, self.category: verdict.category, self.template: verdict.template}
        return {name: value for name, value in found.items() if name and value is not None}


FIELDS = tuple(field.name for field in fields(Names))
