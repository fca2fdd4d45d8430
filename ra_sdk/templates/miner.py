"""Bodies -> templates.

A body is masked, and its masked text is looked up: a text that was seen before stays in its cluster. Only texts that are
new go to Drain (He et al., "Drain: An Online Log Parsing Approach with Fixed Depth Tree", ICWS 2017), which turns words
that vary into ``<*>``. A block is mined as a whole before the templates of its clusters are read, so that each record
has the template that its cluster has at the end of the block; ``Miner.moved`` says which earlier templates became which.

Two things never become ``<*>``: a value that the masks left in place because it decides, and a word that may have an opposite
(Drain3 issue 109: "Started" and "Paused" had merged).
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from ra_sdk.records import SEVERITIES, Template, TemplateKey
from ra_sdk.templates.codes import WORDS
from ra_sdk.templates.masks import fine, without_times, without_values
from ra_sdk.templates.placeholders import PLACEHOLDERS, WILDCARD, Mask
from ra_sdk.templates.state import read_state, write_state

if TYPE_CHECKING:
    from typing import TypeAlias

    import polars as pl
    from drain3.drain import LogCluster

    from ra_sdk.templates.drain import ProtectedDrain

__all__ = ["Miner", "distinct", "has_words", "is_protected", "keyed"]

Place: TypeAlias = "LogCluster | str"
LONGEST = 64 << 10  # characters of a body that its template is made of: the memory is one of texts, which have to be short
SAMPLE = 1_000  # bodies that are compared to tell whether masking the distinct ones pays
SIMILARITY = 0.6  # share of words that must be equal; Drain's usual 0.4 merges messages that merely share their frame

_STATES = """
abnormal absent accepted active alive allowed alone always any asleep available awake bad below above better
big blocked broken busy clean clear cold complete connect connected correct corrupt critical crash crit dead
deny denied dirty disconnect down drop dropped empty err error errors exist exists expired fail failed fails
failure failures false fast fatal fault faulty found free frozen full good granted green halt healthy high
hot hung idle ill inactive invalid kill killed late leader least less locked login logout lost low master
max min missing more most never new no nominal none normal not null ok off offline old on online open close
closed out in pass passed pause permit present primary reached red ready refuse refused reject rejected
reset resume running secondary sick slave slow standby start stop stale stuck success sent received succeed
successful suspend timeout true unable unknown up valid verified wait warn warning wrong yes yellow zero
enter leave exit begin end join left load unload mount unmount lock unlock add remove ban unban ahead behind
hit miss nxdomain servfail noerror formerr notimp optimal passive follower candidate replica backup major
minor problem recovery soft hard permissive onbatt sdown odown unavail internal half commit rollback remove
attach detach enable disable create delete grant revoke accept allow block unblock install uninstall
register deregister insert eject with without before after greater over under within beyond can cannot could
must info debug notice trace alert emerg panic nil
""".split()
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_SUFFIX = re.compile(r".{2,}(?:ed|ing|able|ible|ful|less|n't)$|^(?:un|dis|non|mis|in|im).{4,}")
_VALUE = re.compile(r"(?<![A-Za-z0-9])[0-9]")
_CODE = re.compile(rf"(?<![A-Za-z0-9])(?:{WORDS}|SIG[A-Z]{{3,}}|E[A-Z]{{4,}}(?![A-Za-z]))|\[[U_]+\]")  # error[E0425], SIGKILL, ECONNREFUSED, a RAID's [U_]
_CLASS = re.compile(r"<(?:pct|highpct|ms|sec|min|hours|n)>")
_NAMES = (None, *SEVERITIES)
_LEVELS = {name: at for at, name in enumerate(_NAMES) if name}
_PLACEHOLDER = re.compile("|".join(re.escape(placeholder) for placeholder in PLACEHOLDERS))


class Miner:
    """Mines templates, block by block, in memory that does not grow beyond its bounds.

    ``max_templates`` clusters and ``max_texts`` masked texts are remembered, those that were not seen for the longest time are forgotten first.
    """

    def __init__(self, masks: Sequence[Mask] = (), *, max_templates: int = 50_000, max_texts: int = 200_000) -> None:
        self.masks = masks
        self.max_templates, self.max_texts = max_templates, max_texts
        self._drain: ProtectedDrain | None = None
        self._memo: OrderedDict[str, Place] = OrderedDict()  # by masked text
        self._told: OrderedDict[int, str] = OrderedDict()  # by cluster: the template that was last given out for it
        self._counts: Counter[str] = Counter()
        self.moved: dict[str, str] = {}  # templates that earlier blocks had -> what the last block made of them

    def mine(self, bodies: pl.Series) -> tuple[pl.Series, list[str]]:
        """Mine a block: codes (UInt32, one for every body) and the distinct template texts that they point into."""
        return self.mine_masked(*distinct(bodies, self.masks))

    def mine_masked(self, codes: pl.Series, masked: Sequence[str], sizes: Sequence[int]) -> tuple[pl.Series, list[str]]:
        """Mine what ``distinct`` made of bodies; that part may run in another thread, this one may not."""
        import polars as pl

        found = self._templates([self._place(text) for text in masked])
        texts: dict[str, int] = {}
        places = [texts.setdefault(text, len(texts)) for text in found]
        self._count(list(texts), places, sizes)
        if len(texts) == len(masked):
            return codes, list(texts)
        return pl.Series("code", places, dtype=pl.UInt32).gather(codes), list(texts)

    def templates(self) -> list[Template]:
        """What was mined so far, the most frequent first."""
        return [Template(text, count) for text, count in self._counts.most_common()]

    def __len__(self) -> int:
        return len(self._counts)

    def save(self, path: str | Path) -> None:
        """Write the state to a file, atomically. Raises StoreError."""
        clusters = sorted(self._tree.clusters, key=lambda cluster: cluster.cluster_id)
        numbers = {cluster.cluster_id: number for number, cluster in enumerate(clusters)}
        memo = [(text, place if isinstance(place, str) else numbers.get(place.cluster_id, place.get_template())) for text, place in self._memo.items()]
        rows = [(list(cluster.log_template_tokens), cluster.size) for cluster in clusters]
        write_state(Path(path), {"memo": memo, "counts": list(self._counts.items()), "clusters": rows})

    def load(self, path: str | Path) -> None:
        """Take up a saved state; a file that does not exist is an empty state, a broken one is set aside. Raises StoreError."""
        state = read_state(Path(path))
        if state is not None:
            self._drain = None
            clusters = [self._tree.plant(tokens, size) for tokens, size in state["clusters"]]
            self._told = OrderedDict((cluster.cluster_id, cluster.get_template()) for cluster in clusters)
            self._counts = Counter(dict(state["counts"]))
            self._memo = OrderedDict((text, clusters[place] if isinstance(place, int) else place) for text, place in state["memo"])

    def _place(self, masked: str) -> Place:
        """The cluster of a masked text, or its template if it has no words."""
        known = self._memo.get(masked)
        if known is not None:
            self._memo.move_to_end(masked)
            return known
        text = " ".join(fine(masked).split())
        place = self._tree.add_log_message(text)[0] if has_words(text) else text
        self._memo[masked] = place
        if len(self._memo) > self.max_texts:
            self._memo.popitem(last=False)
        return place

    def _templates(self, places: Sequence[Place]) -> list[str]:
        """The templates as they are now, and in ``moved`` what became of those that were given out before."""
        self.moved = {}
        texts = {place.cluster_id: place.get_template() for place in places if not isinstance(place, str)}
        for number, text in texts.items():
            before = self._told.pop(number, text)
            self._told[number] = text
            if before != text:
                self.moved[before] = text
                self._counts[text] += self._counts.pop(before, 0)
        while len(self._told) > 2 * self.max_templates:
            self._told.popitem(last=False)
        return [place if isinstance(place, str) else texts[place.cluster_id] for place in places]

    def _count(self, texts: Sequence[str], places: Sequence[int], sizes: Sequence[int]) -> None:
        for place, size in zip(places, sizes):
            self._counts[texts[place]] += size
        if len(self._counts) > 2 * self.max_templates:
            self._counts = Counter(dict(self._counts.most_common(self.max_templates)))

    @property
    def _tree(self) -> ProtectedDrain:
        if self._drain is None:
            from ra_sdk.templates.drain import ProtectedDrain

            self._drain = ProtectedDrain(is_protected, sim_th=SIMILARITY, max_clusters=self.max_templates, parametrize_numeric_tokens=False)
        return self._drain


def distinct(bodies: pl.Series, own: Sequence[Mask] = ()) -> tuple[pl.Series, list[str], list[int]]:
    """Coarsely masked bodies: codes (UInt32) into the distinct texts, in order of first appearance, and how often each occurs."""

    if (bodies.str.len_bytes() > LONGEST).any():
        bodies = bodies.str.head(LONGEST)
    codes, texts = _without_values(bodies, own)
    again, texts = _coded(without_times(texts))
    codes = again.gather(codes) if len(texts) < len(again) else codes
    sizes = codes.value_counts(sort=False)
    counts = dict(zip(sizes[sizes.columns[0]].to_list(), sizes["count"].to_list()))
    return codes, texts.to_list(), [counts[code] for code in range(len(texts))]


def keyed(codes: pl.Series, texts: Sequence[str], severities: pl.Series | None) -> tuple[pl.Series, list[TemplateKey]]:
    """What records are asked for by: codes (UInt32, one for every record) into the distinct pairs of template and severity.

    ``codes``: UInt32, into ``texts``; ``severities``: String, one for every record; None: they are not looked at.
    """
    import polars as pl

    if severities is None:
        return codes, [TemplateKey(text) for text in texts]
    levels = severities.replace_strict(_LEVELS, default=0, return_dtype=pl.UInt32)
    if not len(levels) or levels.min() == levels.max():
        level = _NAMES[levels[0]] if len(levels) else None
        return codes, [TemplateKey(text, level) for text in texts]
    both = codes * len(_NAMES) + levels
    pairs = both.unique(maintain_order=True)
    places = pl.repeat(0, len(texts) * len(_NAMES), dtype=pl.UInt32, eager=True).scatter(pairs, pl.int_range(len(pairs), dtype=pl.UInt32, eager=True))
    keys = [TemplateKey(texts[pair // len(_NAMES)], _NAMES[pair % len(_NAMES)]) for pair in pairs.to_list()]
    return places.gather(both), keys


def _without_values(bodies: pl.Series, own: Sequence[Mask]) -> tuple[pl.Series, pl.Series]:
    """Bodies after the first masks, coded. Where most bodies occur more than once, only the distinct ones are masked."""
    if not _repeated(bodies):
        return _coded(without_values(bodies, own))
    codes, texts = _coded(bodies)
    again, texts = _coded(without_values(texts, own))
    return again.gather(codes), texts


def _repeated(bodies: pl.Series) -> bool:
    """Whether most bodies seem to occur more than once, by a sample."""
    sample = bodies.gather_every(max(1, len(bodies) // SAMPLE))
    return sample.n_unique() < len(sample) // 2


def _coded(texts: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Codes (UInt32) into the distinct texts, and these, in order of first appearance."""
    import polars as pl

    different = texts.unique(maintain_order=True)
    return texts.cast(pl.Enum(different)).to_physical().cast(pl.UInt32), different


@lru_cache(maxsize=100_000)
def is_protected(token: str) -> bool:
    """Whether a word of a message may never become ``<*>``: it holds a value that decides, or may have an opposite."""
    if _CLASS.search(token) or _VALUE.search(token) or _CODE.search(token):
        return True
    plain = _PLACEHOLDER.sub(" ", token)
    return any(_is_state(word.lower()) for word in _WORD.findall(plain)) or "n't" in plain


def has_words(text: str) -> bool:
    """Whether there is anything to judge: a letter outside placeholders."""
    return any(char.isalpha() for char in _PLACEHOLDER.sub(" ", text)) or WILDCARD in text


@lru_cache(maxsize=100_000)
def _is_state(word: str) -> bool:
    return word in _state_words() or _SUFFIX.match(word) is not None


@cache
def _state_words() -> frozenset[str]:
    return frozenset(_STATES) | {f"{word}s" for word in _STATES}
