"""Pairs of messages that differ in the deciding value only: what the masks were made to keep."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from ra_training.corpus import Row

__all__ = ["PATTERNS", "Pattern", "value_pairs"]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A statement with ``@`` where its value goes, the values of both kinds, the category, and what the abnormal one tells.

    In statements and values {s} is a subject, {n} a count above one, {k} a small count, {lo} and {hi} percentages, {p} a port.
    """

    statement: str
    well: str
    wrong: str
    category: str
    meaning: str


_TABLE = """
{s} exited with code @ | 0 | 1/2/126/127/134/137/139/143/255 | system | the process did not end well
process {n} ({s}) exited, status=@ | 0 | 1/9/11/137/203 | system | the process did not end well
child {s} terminated, exit status @ | 0 | 1/2/127/139 | system | the child failed
job {s}-{n} finished with rc=@ | 0 | 1/4/8/12/16 | software | the job failed
cron: {s} returned @ | 0 | 1/2/75/127 | software | the scheduled command failed
main process exited, code=exited, status=@ | 0 | 1/2/203/217 | system | the service failed
hook {s} ended with errno @ | 0 | 5/12/13/28/110 | system | a system call failed
container {s} stopped: exit code @ | 0 | 1/125/137/139 | system | the container was killed or crashed
{s} finished with @ errors | 0 | {n}/{k} | software | the run had errors
import of {s} done: {n} rows, @ rejected | 0 | {n}/{k} | software | rows were refused
scrub of {s} complete, @ checksum errors | 0 | {n}/{k} | hardware | stored data is damaged
memory test on {s}: @ bad pages | 0 | {n}/{k} | hardware | memory is faulty
{s}: corrected ECC errors since last check: @ | 0 | {n}/{k} | hardware | the memory erred
SMART {s}: reallocated sectors @ | 0 | {n}/{k} | hardware | the disk is losing sectors
{s} rx_dropped=@ since last report | 0 | {n} | network | packets were lost
{s} interface crc errors: @ | 0 | {n}/{k} | hardware | the link is damaged
replication on {s}: @ events failed to apply | 0 | {n}/{k} | software | the replica diverges
sync of {s} ended, failed=@ skipped={k} | 0 | {n}/{k} | software | items failed
batch {s} summary: processed={n} failures=@ | 0 | {n}/{k} | software | items failed
login audit on {s}: @ failed attempts | 0 | {n} | security | somebody tried passwords
virus scan of {s}: @ infected files | 0 | {k} | security | malware was found
deadlocks on {s} in the last interval: @ | 0 | {k}/{n} | software | transactions blocked each other
parity error in {s} register: @ | 0 | 1 | hardware | parity was violated
thermal trip {s}: @ | 0 | 1 | hardware | the part was too hot
unrecoverable read count on {s}: @ | 0 | {k} | hardware | data could not be read
lost heartbeats from {s}: @ | 0 | {k} | network | the peer is not heard
GET /{s}/items HTTP/1.1" @ {n} | 200/204/304 | 500/502/503/504 | software | the server could not answer
upstream {s} responded with status @ | 200/201/204 | 500/502/503/504 | software | the upstream failed
webhook to {s} delivered, response code @ | 200/202 | 500/503/504 | software | the receiver failed
{s} probe: http status=@ | 200 | 500/503 | software | the probe failed
POST /{s}/submit completed, status: @ | 200/201 | 500/503 | software | the request failed
{s} link state changed to @ | UP | DOWN | network | the link was lost
port {p} on {s} is @ | up | down | network | the port is gone
BGP neighbor {s} went @ | Up | Down | network | routes are lost
tunnel {s}: state=@ | ESTABLISHED | DOWN | network | the tunnel is gone
peer {s} is now @ | reachable | unreachable | network | the peer cannot be reached
node {s} condition Ready=@ | True | False | system | the node cannot work
{s} health check @ | passed | failed | software | the check failed
self-test of {s}: @ | PASS/passed | FAIL/failed | hardware | the part failed its test
config check for {s}: @ | valid | invalid | software | the configuration is broken
backup of {s} @ | completed | aborted | software | there is no backup
checksum of {s} @ | matches | does not match | software | the content is damaged
login of user {s} @ | succeeded | failed | security | access was refused
token for {s} @ | accepted | rejected | security | access was refused
certificate of {s} is @ | valid for {n} days | expired | security | clients will refuse it
power supply {k} on {s}: @ | present, ok | failed | hardware | redundancy is lost
fan {k} of {s} runs at @ rpm | {n}00 | 0 | hardware | the fan stands still
raid {s} is @ | optimal | degraded | hardware | a member is missing
clock on {s} is @ | synchronized | unsynchronized | system | time will drift
database {s} opened read-@ | write | only after errors | software | nothing can be written
quorum for {s} @ | reached | lost | system | the cluster cannot decide
lease of {s} @ | renewed | lost | network | another may take over
disk usage of {s} is @ | {lo}% | {hi}% | system | space runs out
memory in use on {s}: @ | {lo}% | {hi}% | system | memory runs out
inode usage {s} @ | {lo}% | {hi}% | system | no file can be made soon
packet loss to {s}: @ | 0% | {lo}%/{hi}%/100% | network | packets are lost
backup {s} success rate @ | 100% | 0% | software | nothing was saved
{s}: @ replicas ready | {k}/= | 0/{k} | system | nothing is ready
deployment {s} available @ pods | {k}/= | 1/3 | system | pods are missing
{s} members in sync @ | {k}/= | 1/5 | network | members are missing
{s} paths active: @ | {k}/= | 1/4 | hardware | paths are lost
tests on {s}: @ passed | {k}/= | 2/7 | software | tests failed
{s} answered in @ | 3 ms/12 ms/45ms | 2 hours/3h | network | that is far too slow
replication lag of {s} is @ | 0 s/4 ms | 3 hours/2h | software | the replica is far behind
ntp offset on {s} @ | 2 ms/0.4 ms | 45 minutes/3 hours | system | the clock is wrong
worker {s} killed by signal @, restarting | 0 | 6/9/11 | system | the worker crashed
"""
_SUBJECTS = (
    "billing orders-api web3 cache-node scheduler ingest mailer vault edge-proxy eth1 sda nvme0n1 md0 db-primary payments auth gateway search node-7 rack4 "
    "exporter queue archive reports storage-2 switch12 controller lun5 sessions telemetry gpu0 dimm-b2 core-router catalog thumbnailer notifier"
).split()
_WRONG = (
    'It says "{quote}": {meaning}, and somebody has to look.',
    'The value decides here: "{quote}" means that {meaning}.',
    'With "{quote}" this reports that {meaning}, a fault.',
    'Because of "{quote}", {meaning}; that needs attention.',
)
_WELL = (
    'It says "{quote}", which is how it should be; nothing failed.',
    'The value decides here: "{quote}" is the expected outcome.',
    'With "{quote}" this is an ordinary report of success.',
    'Nothing is wrong: "{quote}" is what a sound system reports.',
)


def _pattern(line: str) -> Pattern:
    statement, well, wrong, category, meaning = (part.strip() for part in line.split(" | "))
    return Pattern(statement, well, wrong, category, meaning)


PATTERNS: tuple[Pattern, ...] = tuple(_pattern(line) for line in _TABLE.strip().splitlines())


def value_pairs(count: int, rng: random.Random) -> Iterator[Row]:
    """``count`` pairs, every pattern in turn: first the normal one, then the abnormal one, same subject."""
    order = list(PATTERNS)
    for number in range(count):
        if number % len(order) == 0:
            rng.shuffle(order)
        yield from _pair(order[number % len(order)], number, rng)


def _pair(pattern: Pattern, number: int, rng: random.Random) -> Iterator[Row]:
    count = rng.randrange(2, 10)
    words = {"s": rng.choice(_SUBJECTS), "n": str(rng.randrange(12, 900)), "k": str(count), "p": str(rng.randrange(1024, 60000))}
    words |= {"lo": str(rng.randrange(4, 80)), "hi": str(rng.choice([93, 95, 97, 98, 99]))}
    for label, values in (("normal", pattern.well), ("abnormal", pattern.wrong)):
        value = _value(values, rng).replace("/=", f"/{count}").format(**words)
        message = pattern.statement.format(**words).replace("@", value)
        wrong = label == "abnormal"
        category = pattern.category if wrong else None
        yield Row(f"pair-{number}-{label}", "pairs", message, label, category, _think(message, value, pattern, wrong, rng), "train")


def _value(values: str, rng: random.Random) -> str:
    """One of the values between slashes; a ratio (a slash with a digit, brace or = after a count) is one value."""
    if "/=" in values or values in ("0/{k}", "1/3", "1/5", "1/4", "2/7"):
        return values
    return rng.choice(values.split("/"))


def _think(message: str, value: str, pattern: Pattern, wrong: bool, rng: random.Random) -> str | None:
    """A sentence round a quote: the value with the word before it."""
    at = message.find(value)
    before = message[:at].split()[-1:]
    quote = f"{before[0]} {value}" if before and message[at - 1 : at] == " " else message[max(message.rfind(" ", 0, at) + 1, 0) : at + len(value)]
    if '"' in quote:
        return None
    if wrong:
        return rng.choice(_WRONG).format(quote=quote, meaning=pattern.meaning)
    return rng.choice(_WELL).format(quote=quote)
