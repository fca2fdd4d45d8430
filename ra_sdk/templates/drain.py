"""Drain's tree, taught two things: protected words are never merged, and a full leaf is searched by an index. The only file that knows drain3."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import chain
from operator import eq
from typing import Any

from drain3.drain import Drain, LogCluster

from ra_sdk.templates.placeholders import WILDCARD

__all__ = ["ProtectedDrain"]

FEW = 16  # clusters of a leaf that are all looked at
LONG = 80  # words: longer messages are compared only with the NEWEST clusters that begin with the same HEAD words
HEAD, NEWEST = 4, 24


class ProtectedDrain(Drain):
    """Drain that compares only messages whose protected words are equal, place by place; and of a leaf only what may be similar enough."""

    def __init__(self, protected: Callable[[str], bool], **options: Any) -> None:
        super().__init__(depth=4, **options)
        self._protected = protected
        self._leaves: dict[Any, _Leaf] = {}
        self._kept = 0  # ids in the leaves, forgotten ones too

    def fast_match(self, cluster_ids: Any, tokens: Sequence[str], sim_th: float, include_params: bool) -> Any:  # noqa: ARG002
        """The most similar cluster of the tokens' leaf. What it will have in place of differing words is noted."""
        leaf = self._leaves[self._node(tokens)]
        found = super().fast_match(leaf.candidates(tokens, sim_th), tokens, sim_th, include_params)
        if found is not None:
            leaf.note(found.cluster_id, [WILDCARD if known not in (token, WILDCARD) else None for known, token in zip(found.log_template_tokens, tokens)])
        return found

    def add_seq_to_prefix_tree(self, root_node: Any, cluster: Any) -> None:
        """Put a cluster into the tree. Drain would walk through all others of its leaf each time."""
        super().add_seq_to_prefix_tree(root_node, cluster)
        node = self._node(cluster.log_template_tokens)
        node.cluster_ids = []
        self._leaves.setdefault(node, _Leaf()).add(cluster)
        self._kept += 1
        if self._kept > 2 * len(self.id_to_cluster) + 1_000:
            self._forget()

    def _node(self, tokens: Sequence[str]) -> Any:
        """The leaf of the tree, which at depth 4 looks at the number of tokens and the first of them."""
        node = self.root_node.key_to_child_node[str(len(tokens))]
        inner = node.key_to_child_node
        return inner.get(tokens[0]) or inner.get(WILDCARD) if len(tokens) > 1 else node

    def _forget(self) -> None:
        """Make the leaves anew, of the clusters that are still known."""
        self._leaves = {node: _Leaf() for node in self._leaves}
        for cluster in sorted(self.clusters, key=lambda cluster: cluster.cluster_id):
            self._leaves[self._node(cluster.log_template_tokens)].add(cluster)
        self._kept = len(self.id_to_cluster)

    def get_seq_distance(self, seq1: Sequence[str], seq2: Sequence[str], include_params: bool) -> tuple[float, int]:
        """Share of equal tokens and number of wildcards, or a distance that never matches."""
        same, wild, length = sum(map(eq, seq1, seq2)), 0, len(seq1) or 1
        if same + seq1.count(WILDCARD) < self.sim_th * length:
            return -1.0, -1  # most are so far apart: nobody needs to look word by word
        for known, token in zip(seq1, seq2):
            if known == token:
                continue
            if self._protected(token) or self._protected(known):
                return -1.0, -1
            wild += known == WILDCARD
        return (same + wild if include_params else same) / length, wild

    def plant(self, tokens: Sequence[str], size: int) -> LogCluster:
        """Put a cluster of a saved state back."""
        self.clusters_counter += 1
        cluster = LogCluster(tokens, self.clusters_counter)
        cluster.size = size
        self.id_to_cluster[cluster.cluster_id] = cluster
        self.add_seq_to_prefix_tree(self.root_node, cluster)
        return cluster


class _Leaf:
    """Which clusters of a leaf have a word in a place.

    A cluster that shares k of n words with a message has at least one of any n - k + 1 of them: so only those are looked at that have
    one of the rarest (the prefix filter of similarity joins: Chaudhuri, Ganti and Kaushik, ICDE 2006).
    """

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._few: list[LogCluster] = []  # as long as all of them are looked at, no index is needed
        self._places: dict[tuple[int, str], list[int]] = {}
        self._heads: dict[tuple[str, ...], list[int]] = {}  # of long messages, which have no index

    def add(self, cluster: LogCluster) -> None:
        """Take up a cluster; ids come in ascending order."""
        self._ids.append(cluster.cluster_id)
        if len(cluster.log_template_tokens) > LONG:
            self._heads.setdefault(tuple(cluster.log_template_tokens[:HEAD]), []).append(cluster.cluster_id)
            return
        self._few.append(cluster)
        if len(self._ids) > FEW:
            for other in self._few:
                self._index(other.cluster_id, other.log_template_tokens)
            self._few.clear()

    def note(self, cluster_id: int, tokens: Sequence[str | None]) -> None:
        """Note words that a cluster has got, by their places; None: nothing new there."""
        if len(self._ids) > FEW and len(tokens) <= LONG:
            self._index(cluster_id, tokens)

    def _index(self, cluster_id: int, tokens: Sequence[str | None]) -> None:
        for place, token in enumerate(tokens):
            if token is not None:
                self._places.setdefault((place, token), []).append(cluster_id)

    def candidates(self, tokens: Sequence[str], similarity: float) -> Sequence[int]:
        """The ids of the clusters that may share so many of the tokens, in ascending order."""
        if len(tokens) > LONG:
            return self._heads.get(tuple(tokens[:HEAD]), [])[-NEWEST:]
        if len(self._ids) <= FEW:
            return self._ids
        found = sorted((self._places.get(place, ()) for place in enumerate(tokens)), key=len)
        shared = math.ceil(similarity * len(tokens) - 1e-9)
        return sorted(set(chain.from_iterable(found[: len(tokens) - shared + 1])))
