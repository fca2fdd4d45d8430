"""Secrets and personal data taken out of a message before it leaves the machine.

Each value is replaced by a stand-in of its own kind, numbered within the message: the same value gets the same one, a message always the same ones.
Stand-ins come from ranges that are reserved for examples (RFC 2544, 2606, 3849, 7042), so that a message still reads as a log line, and the product's masks
make of it what they make of the original. Whoever sees only stand-ins cannot tell that two messages speak of the same host or person.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ra_sdk.templates.placeholders import PLACEHOLDERS

__all__ = ["STAND_INS", "Redactor"]

STAND_INS = {  # kind: the nth value's stand-in. ``n`` counts from 1
    "secret": "REDACTED{n}",
    "key": "REDACTED{n}",
    "user": "user{n}",
    "email": "user{n}@example.com",
    "host": "host{n}",
    "domain": "host{n}.example.com",
    "name": "name{n}",
    "ip": "198.18.{high}.{low}",
    "ip6": "2001:db8::{n:x}",
    "mac": "00:00:5e:00:53:{low:02x}",
    "hex": "c0ffee{n:06x}",
    "uuid": "00000000-0000-4000-8000-{n:012x}",
    "account": "{n:012d}",
    "sid": "S-1-5-21-0-0-0-{n}",
    "phone": "+1555{n:07d}",
    "card": "4{n:015d}",
}
_ACCOUNTS = frozenset(  # accounts of systems, which are nobody's, and words that stand where a name could
    """root admin administrator system nobody daemon guest anonymous service user users bin sys sync mail www www-data apache nginx httpd postgres mysql
    mariadb redis mongodb rabbitmq kafka zookeeper elasticsearch hadoop hdfs yarn hive spark git jenkins docker kubelet ubuntu ec2-user centos debian
    fedora vagrant sshd ntp chrony syslog messagebus polkitd dbus operator backup oracle sa public shared default runner gitlab-runner test unknown
    none null nil empty true false authentication session sessions input data login logout account accounts not no is was has had and or from by to in
    on at with for request requests id name password group groups process processes space mode level agent interface service-account authorization
    permission permissions profile profiles creation deletion registration preferences settings namespace namespaces defined specified provided swipe
    environment""".split()
)
_NO_SECRET = frozenset(
    " true false yes no on off null none nil empty required invalid missing expired failed ok denied unset changed (null) accepted"
    " chauthtok auth session account".split(" ")
)
_TLD = (
    "com|net|org|edu|gov|mil|int|biz|io|dev|co|us|uk|de|fr|nl|eu|ch|at|it|es|pt|se|fi|dk|be|cz|cn|jp|kr|au|nz|ca|br|ru|ua|za|mx"
    "|local|localdomain|lan|corp|internal|intranet"
)
_UNIT = r"(?:service|socket|slice|mount|timer|scope|target|device)"  # of systemd: no host has such a name
_PUBLIC = re.compile(  # names that are nobody's
    r"(?:.*\.)?(?:example\.(?:com|net|org)|(?:k8s|kubernetes|cert-manager|docker)\.io)|[\w-]+\.(?:amazonaws|googleapis)\.com"
    r"|(?:quay|gcr|ghcr|socket)\.io|github\.com|apache\.org",
    re.IGNORECASE,
)
_KEY = (
    r"(?:passw(?:or)?d|passphrase|pwd(?!\s*=\s*[/~])|secret|credentials?|(?:api|access|private|encryption|account|shared)[_-]?key|token(?!s|iz)|signature"
    r"|session[_-]?id|cookie|\bsas(?=[_=]))(?:s|[_-]?(?:key|value|hash|id|text|data|string|base64|hex)|[_-]\w+)?"
)
_PLACEHOLDER = "|".join(map(re.escape, PLACEHOLDERS))
_VALUE = rf"(?!{_PLACEHOLDER})(?:\"(?P<v1>[^\"]+)\"|'(?P<v2>[^']+)'|<?(?P<v3>[^\s\"'&;,)\]}}<>]+))"
_USER_BEFORE = r"(?:for|by|as|of|from|invalid|illegal|unknown)"

Rule = tuple[str, re.Pattern[str]]  # kind, and a pattern whose named groups v… hold the value; without any, the whole match is it


def _rule(kind: str, pattern: str, flags: int = re.IGNORECASE) -> Rule:
    return kind, re.compile(pattern, flags | re.ASCII)


_RULES: tuple[Rule, ...] = (  # in this order: what is more telling goes first
    _rule("secret", r"-----BEGIN [A-Z ]*(?:PRIVATE KEY|CERTIFICATE)[A-Z ]*-----(?P<v>.*?)(?:-----END[A-Z -]*-----|$)", re.DOTALL),
    _rule("secret", r"\b(?:AKIA|ASIA|AIDA|AROA)[0-9A-Z]{16}\b", 0),
    _rule(
        "secret",
        r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|npm_|pypi-|hf_|dop_v1_|shpat_|rk_live_|[sp]k_(?:live|test)_|sk-|SG\.|ya29\.|AIza|whsec_)[\w.-]{12,}",
        0,
    ),
    _rule("secret", r"\beyJ[\w-]{8,}\.[\w-]{4,}(?:\.[\w-]*)?", 0),
    _rule("secret", r"\b(?:ssh-(?:rsa|ed25519|dss)|ecdsa-sha2-\w+) (?P<v>AAAA[\w+/=]+)"),
    _rule(
        "secret",
        r"\b(?:Authorization|Proxy-Authorization|X-Api-Key|X-Auth-Token)[\"']?\s*[:=]\s*[\"']?(?:(?:Bearer|Basic|Digest|Token|Negotiate|ApiKey)\s+)?(?P<v>[^\s\"',;]+)",
    ),
    _rule("secret", r"\b(?:Set-)?Cookie[\"']?\s*:\s*[\"']?(?P<v>[^\"'\s][^\"']*)"),
    _rule("secret", r"\b(?:Bearer|Basic)\s+(?P<v>(?=[\w.~+/-]*[0-9=])[\w.~+/-]{8,}=*)"),
    _rule("secret", r"\b[a-z][a-z0-9+.-]*://[^\s/:@]*:(?P<v>[^\s/@]+)@"),
    _rule("secret", rf"{_KEY}[\"']?\s*(?:=>?|:=)\s*{_VALUE}"),
    _rule("secret", rf"{_KEY}[\"']\s*:\s*{_VALUE}"),  # of JSON
    _rule("secret", rf"{_KEY}:(?:(?=[^\s:])|\s+(?![a-z]+[ .,;:]+[a-z]|\w+=|\S+\s+(?:is|was|not)\b)){_VALUE}"),  # after a colon: no words of a sentence
    _rule("secret", rf"\bpassw(?:or)?d:\s+(?=[\"']){_VALUE}"),
    _rule("secret", rf"\s--?{_KEY}\s+(?!-){_VALUE}"),  # of a command line
    _rule("secret", r"\bidentified\s+by\s+(?:password\s+)?'(?P<v>[^']+)'"),
    _rule("account", r"\barn:[\w-]+:[\w-]+:[\w-]*:(?P<v>[0-9]{12})\b"),
    _rule("sid", r"\bS-1-5-21(?:-[0-9]+){3,4}\b"),
    _rule("email", rf"(?<![\w.%+-])[\w.%+-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?!{_UNIT}|swap\b|path\b)[a-z]{{2,}}\b"),
    _rule("user", rf"(?<![\w.%+-])(?P<v>[a-z_][\w.-]*)@(?!(?:[0-9a-f]{{5,8}}|sha[0-9]+|v[0-9.]+)\b)[a-z][\w-]*(?![\w.-]*\.{_UNIT})"),
    _rule("host", r"(?:(?<=[a-z_-]@)|(?<=user[0-9]@)|(?<=user[0-9]{2}@))(?!v?[0-9]|sha[0-9])(?P<v>[a-z][\w-]*)(?![\w-]*\.\w)(?=$|[^\w.-]|\.(?:\s|$))"),
    _rule("user", r"(?:/home/|/Users/|/export/home/|/u/home/|[\\/]Documents and Settings[\\/]|\b[A-Z]:[\\/]+Users[\\/]+)(?P<v>[^\s/\\:\"'<>|,;)\]]+)"),
    _rule("user", r"(?<![\w/])~(?P<v>[a-z_][\w.-]*)(?=/)"),
    _rule("user", r"\b(?!HK|NT )[A-Z][A-Z0-9-]{1,14}\\+(?P<v>[A-Za-z][\w.-]*)(?![\\\w])", 0),
    _rule("user", rf"\b(?:[ar]?user(?:_?name)?|login|log_?name|acct|uname|usr|principal|owner|member|account)[\"']?(?:=>?|\s+(?:=>?|:=)\s+){_VALUE}"),
    _rule("user", rf"\b(?:user(?:_?name)?|login|principal)(?:[\"']\s*:\s*|:(?=\S)|:\s+(?=[\"']|\S+$)){_VALUE}"),
    _rule("user", r"\buser(?:name)?\s+(?:\"(?P<v1>[^\"]+)\"|'(?P<v2>[^']+)'|`(?P<v3>[^`]+)`|<(?P<v4>[a-z][\w.-]*)>)"),
    _rule("user", rf"\b{_USER_BEFORE}\s+(?:user|login|account)\s+(?P<v>[a-z_][\w.-]*\w)"),
    _rule(
        "user",
        r"\b(?:password|publickey|keyboard-interactive(?:/pam)?|gssapi-\w+|none|login) for (?:(?:invalid|illegal) user )?(?P<v>[\w.-]+)(?= from| by|$)",
    ),
    _rule("user", r"\b(?:sudo|su)(?:\[[0-9]+\])?:\s+(?P<v>[a-z_][\w.-]*) : "),
    _rule("user", r"\(to (?P<v>[\w.-]+)\) (?P<v2>[\w.-]+) on "),
    _rule("mac", r"(?<![0-9a-f:-])[0-9a-f]{2}(?:(?::[0-9a-f]{2}){5,19}|(?:-[0-9a-f]{2}){5,19})(?![:-]?[0-9a-f])"),
    _rule("mac", r"\b[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}\b"),
    _rule("ip6", r"(?<![\w:.])(?=[0-9a-f:.]*[0-9])(?:[0-9a-f]{0,4}:){2,7}(?:(?:[0-9]{1,3}\.){3}[0-9]{1,3}|[0-9a-f]{1,4})?(?![\w:]|\.[0-9])"),
    _rule("ip", r"(?<![\w.])(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?![\w]|\.[0-9])"),
    _rule("host", r"\bip-(?:[0-9]{1,3}-){3}[0-9]{1,3}\b"),
    _rule("domain", rf"(?<![\w@.$/-])(?:[a-z0-9_](?:[\w-]*\w)?\.)+(?:{_TLD})(?![\w(-]|\.\w)"),
    _rule("domain", r"(?<=://)(?P<v>(?:[a-z0-9_](?:[\w-]*\w)?\.)+[a-z][a-z0-9-]+)(?=[:/?#\s\"']|$)"),
    _rule("host", r"(?<=://)(?P<v>[a-z_](?:[\w-]*\w)?)(?=[:/?#\s\"']|$)"),
    _rule("host", rf"\b(?:r?host(?:_?name)?|server(?:_?name)?|node(?:_?name)?|machine|workstation|computer(?:_?name)?|fqdn|peer)[\"']?(?:=|\s=\s){_VALUE}"),
    _rule(
        "host",
        r"\b(?:host(?:name)?|node|server|machine|workstation|computer)(?:\s+|:\s*|\s+[\"'])(?P<v>[a-z](?=[\w-]*[0-9])(?=[\w-]*[a-z-])[\w-]*\w)(?![.\w(/=])",
    ),
    _rule("phone", r"(?<![\w+])\+[1-9](?:[ ()-]{0,2}[0-9]){8,13}(?![\w.])"),
    _rule("card", r"(?<![\w.-])[3-6](?:[ -]?[0-9]){14,15}(?![\w.-])"),
    _rule("uuid", r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b"),
    _rule("hex", r"(?<![0-9a-z])(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{32,}(?![0-9a-z])"),
    _rule("key", r"(?<![\w+/.-])(?P<v>[\w+-]{24,}={0,2})(?![\w.-])"),
)


@dataclass(frozen=True, slots=True)
class Redactor:
    """Takes secrets and personal data out of messages. ``names``: words of the user's own (customers, projects, hosts), in any case."""

    names: Sequence[str] = ()
    counts: Counter[str] = field(default_factory=Counter)  # values replaced so far, by kind

    def __call__(self, message: str) -> str:
        """The message with stand-ins."""
        stand_ins = _StandIns(message)
        text = message
        for kind, pattern in (*self._own(), *_RULES):
            text = pattern.sub(lambda match, kind=kind: _replaced(match, kind, stand_ins), text)  # type: ignore[misc]
        self.counts.update(kind for kind, _ in stand_ins.given)
        return text

    def _own(self) -> Sequence[Rule]:
        longest_first = sorted(filter(None, (name.strip() for name in self.names)), key=len, reverse=True)
        either = "|".join(map(re.escape, longest_first))
        return (("name", re.compile(rf"(?<![^\W_])(?:{either})(?![^\W_])", re.IGNORECASE)),) if either else ()


class _StandIns:
    """The stand-ins of one message."""

    def __init__(self, message: str) -> None:
        self.message = message
        self.given: dict[tuple[str, str], str] = {}

    def of(self, kind: str, value: str) -> str:
        """The value's stand-in: the one that it has, or the next that the message does not hold itself."""
        key = (kind, value if kind in ("secret", "key") else value.lower())
        if key not in self.given:
            taken = set(self.given.values())
            self.given[key] = next(name for n in range(1, 1 << 16) if (name := _stand_in(kind, n)) not in taken and name not in self.message)
        return self.given[key]


def _stand_in(kind: str, n: int) -> str:
    return STAND_INS[kind].format(n=n, high=n >> 8, low=n & 255)


def _replaced(match: re.Match[str], kind: str, stand_ins: _StandIns) -> str:
    """The match with its values replaced, the last first, so that places stay."""
    spans = [match.span(name) for name in match.re.groupindex if match[name] is not None] or [match.span()]
    text, start = match.group(), match.start()
    for begin, end in sorted(spans, reverse=True):
        value = match.string[begin:end]
        if _telling(kind, value) and not _is_stand_in(value):
            text = text[: begin - start] + stand_ins.of(kind, value) + text[end - start :]
    return text


_IS_STAND_IN = re.compile(
    "|".join(
        (
            *(
                r"REDACTED\d+",
                r"user\d+",
                r"user\d+@example\.com",
                r"host\d+",
                r"host\d+\.example\.com",
                r"name\d+",
                r"198\.18\.\d+\.\d+",
                r"2001:db8::[0-9a-f]+",
            ),
            *(r"00:00:5e:00:53:[0-9a-f]{2}", r"c0ffee[0-9a-f]{6}", r"00000000-0000-4000-8000-[0-9a-f]{12}", r"0{8}\d{4}", r"S-1-5-21-0-0-0-\d+"),
            *(r"\+15550\d{6}", r"40{8}\d{7}", r".*\\user\d+", _PLACEHOLDER, r"user\d+@host\d+"),
        )
    )
)


def _is_stand_in(value: str) -> bool:
    return _IS_STAND_IN.fullmatch(value) is not None


def _telling(kind: str, value: str) -> bool:
    """Whether the value says anything of anybody; words and numbers that do not are worth more to the reader as they are."""
    judge = _JUDGES.get(kind)
    return judge is None or judge(value)


def _telling_secret(value: str) -> bool:
    low = value.lower().strip("*.:")
    return low not in _NO_SECRET and not re.match(r"[\[<({$]", value)  # taken out already, or never there


def _telling_user(value: str) -> bool:
    return value.lower() not in _ACCOUNTS and not re.fullmatch(r"[0-9]+|\W+|[$%{].*|system:.*", value)


def _telling_host(value: str) -> bool:
    low = value.lower()
    known = low in _ACCOUNTS | {"localhost", "local", "db", "any"}
    return not known and not re.fullmatch(r"[0-9.]+(?::[0-9]+)?|[\W_]+|[$%{(].*|.*://.*", value) and not _address(low)


def _telling_ip(value: str) -> bool:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    # loopback and any-address are the same on all machines; what starts with 255 is a netmask
    return not (address.is_loopback or address.is_unspecified or value.startswith("255."))


def _telling_card(value: str) -> bool:
    digits = [int(char) for char in value if char.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]  # Luhn's check (ISO/IEC 7812-1)
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _telling_domain(value: str) -> bool:
    return not _PUBLIC.fullmatch(value)


def _address(text: str) -> bool:
    """Whether it is an address, perhaps with a port: those are replaced as such."""
    return re.fullmatch(r"[0-9a-f:.\[\]]*:[0-9a-f:.\[\]]*", text) is not None


def _random(text: str) -> bool:
    """Whether it reads like a key: letters of both cases and several digits, evenly mixed."""
    text = max(re.split(r"[-_]", text), key=len)  # names of many parts are names
    counts = Counter(text)
    bits = -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())
    digits, upper, lower = (sum(map(test, text)) for test in (str.isdigit, str.isupper, str.islower))
    return len(text) >= 16 and digits >= 3 and upper >= 2 and lower >= 2 and bits >= 3.5


_JUDGES: dict[str, Callable[[str], bool]] = {
    "secret": _telling_secret,
    "key": _random,
    "user": _telling_user,
    "host": _telling_host,
    "ip": _telling_ip,
    "ip6": _telling_ip,
    "card": _telling_card,
    "domain": _telling_domain,
    "uuid": lambda value: value.strip("0-") != "",
}
