"""Rows from the product's knowledge: what a phrase or a statement reports is written there, and was read by two people.

Phrases about faults and attacks are abnormal, routine ones normal; what is a warning or depends is left out. Log statements at INFO, DEBUG or TRACE
without a word of trouble are normal ones beside them: else every short text would be a fault.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ra_sdk.knowledge.base import own

from ra_training.corpus import Row, masked

if TYPE_CHECKING:
    from ra_sdk.knowledge import Entry

__all__ = ["HELD_OUT", "balanced", "known_rows", "ordinary_rows"]

ROUTINE = 4  # spellings of a routine entry that are taken, as there are few of these entries
ABNORMAL, NORMAL = ("fault", "attack"), ("routine",)
QUIET = ("INFO", "DEBUG", "TRACE")
HELD_OUT = re.compile(  # families of the rows that are for dev and test, and of the public logs on which the model is measured
    r"\b(?:bgl|spirit|thunderbird|liberty|hadoop|hdfs|yarn|spark|zookeeper|openstack|nova|neutron|cinder|glance|keystone|windows|cbs|sshd|openssh|pam|sudo|su|"
    r"apache|httpd|android|healthapp|macos|proxifier|nginx|ingress-nginx|coredns|docker|dockerd|moby|dotnet|aspnet|kestrel|minio|ceph|mongodb|mongod|mongos|mpi|"
    r"openmpi|ucx|libfabric|rabbitmq|modbus|opcua|mqtt|mosquitto|emqx|scada|prometheus|grafana|loki|promtail|alertmanager|vmware|esxi|hostd|vpxd|vcenter|proxmox|"
    r"pve|libvirt|qemu|openvpn|wireguard|strongswan|charon|libreswan|ipsec|warewulf|xcat|jenkins|gitlab|maven|gradle|terraform|argocd|argo|flux|helm|django|"
    r"gunicorn)\b",
    re.IGNORECASE,
)
TROUBLE = re.compile(
    r"error|fail|fault|warn|exce|invalid|unable|cannot|can't|could not|couldn't|not found|missing|refus|reject|den(?:y|ied)|time[sd]? ?out|timeout|"
    r"retr|lost|drop|abort|corrupt|bad|unknown|unexpected|down|kill|crash|panic|broken|expired|illegal|mismatch|overflow|stale|dead|conflict|"
    r"discard|skip|ignor|leak|degrad",
    re.IGNORECASE,
)


def balanced(count: int, others: Iterable[str], statements: Sequence[tuple[str, str]], *, seed: int = 0) -> list[Row]:
    """So many rows of entries, chosen at random, and with them as many ordinary statements as it takes to have half of the rows normal."""
    rows = known_rows(others, seed=seed)
    random.Random(seed).shuffle(rows)
    rows = rows[:count]
    abnormal = sum(row.abnormal for row in rows)
    return [*rows, *ordinary_rows(statements, max(2 * abnormal - len(rows), 0), seed=seed)]


def known_rows(others: Iterable[str], *, seed: int = 0) -> list[Row]:
    """A row for every entry about one program, standard or fault; a few for each routine one.

    ``others``: messages of dev and test. An entry that speaks of one of them is left out, as are entries of the families that are held out.
    """
    seen = " \n ".join(masked(list(others))).lower()
    rng = random.Random(seed)
    entries = [entry for entry in own() if entry.says in (*ABNORMAL, *NORMAL) and not _held_out(entry) and not _stands_in(entry, seen)]
    return [row for entry in entries for row in _rows(entry, rng)]


def ordinary_rows(statements: Sequence[tuple[str, str]], count: int, *, seed: int = 0) -> list[Row]:
    """So many normal rows of log statements (text, level) in which nothing speaks of trouble."""
    quiet = [(text, level) for text, level in statements if level in QUIET and len(text.split()) >= 3 and not TROUBLE.search(text)]
    random.Random(seed).shuffle(quiet)
    return [Row(f"ordinary-{number}", "", text, "normal", level=level, split="train") for number, (text, level) in enumerate(quiet[:count])]


def _rows(entry: Entry, rng: random.Random) -> Iterator[Row]:
    abnormal = entry.says in ABNORMAL
    spellings = sorted(entry.match, key=lambda text: len(text.split()), reverse=True)
    if entry.kind == "phrase":
        spellings = [text for text in spellings if len(text.split()) >= 2] or spellings[:1]
    chosen = spellings if len(spellings) <= ROUTINE else rng.sample(spellings, ROUTINE)
    for number, text in enumerate(chosen[: 1 if abnormal else ROUTINE]):
        yield Row(
            id=f"{entry.id}-{number}",
            system=entry.scope[0] if entry.scope else "",
            message=text,
            label="abnormal" if abnormal else "normal",
            category=(entry.category or "system") if abnormal else None,
            split="train",
        )


def _held_out(entry: Entry) -> bool:
    return entry.source.startswith("general usage") or HELD_OUT.search(" ".join((*entry.scope, entry.source, entry.id.replace("-", " ")))) is not None


def _stands_in(entry: Entry, texts: str) -> bool:
    return any(text.lower() in texts for text in entry.match)
