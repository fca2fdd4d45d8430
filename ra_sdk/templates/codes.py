"""Values that decide: what masking leaves in place, and the words by which it is recognised.

``SHIELDS`` protect long codes from the coarse masks: they put a code between ``OPEN`` and ``CLOSE`` and ``BREAK`` into
it, so that no mask finds a long number there. ``decides`` looks at the words around a number.
"""

from __future__ import annotations

import re

from ra_sdk.templates.placeholders import RARE, Mask

__all__ = ["BREAK", "CLOSE", "MNEMONIC", "OPEN", "PHRASES", "SHIELDS", "WORDS", "counted", "decides", "is_secret", "notifies"]

REACH, FAR = 48, 400  # characters before a number that are looked at for words, and for the request of an access log

OPEN, CLOSE, BREAK = "\ufdd0", "\ufdd1", "\ufdd2"  # noncharacters: Unicode keeps them for internal use

_CODED = (  # how words end that a long code may follow
    "tatus|TATUS|code|Code|CODE|rror|RROR|rrno|xited|xit|EventID|HRESULT|hresult|BugCheck|bugcheck|esult|eturned"
)
_GAP = r"""["'\\]{0,2}(?:[ ]?[=:][ \t]{0,4}|[ \t]{1,4})(?:(?:with|is|was|code|status) )?["'(\[\\]{0,2}"""
_LONG = (  # five digits; signed; the unsigned form of a negative 32-bit number; hexadecimal
    r"([1-9][0-9]{2})([0-9]{2})|(-[0-9]{1,4})([0-9]{1,4})([0-9]{0,2})|([34][0-9]{3})([0-9]{4})([0-9]{2})"
    r"|(0)([xX][0-9a-fA-F]{1,4})([0-9a-fA-F]{0,4})"
)
_IN_PARTS = "".join(f"${{{group}}}{BREAK}" for group in range(2, 13))

SHIELDS = (
    Mask(RARE, r"(%(?:ASA|FTD|PIX|FWSM)-(?:[A-Za-z]+-)?[0-7]-[0-9]{3})([0-9]{3})", f"{OPEN}${{1}}{BREAK}${{2}}{CLOSE}", rare=True),
    Mask(
        RARE,
        r"(?-u:\b)((?:ORA-|TNS-|RMAN-|PLS-|MY-|BEA-|CRS-|OGG-|KUP-|DRG-|AADSTS|JBAS|ISPN|ARJUNA|AH|IST|UT|IJ|DEP|AMQ)[0-9]{0,4})([0-9]{1,4})(?-u:\b)",
        f"{OPEN}${{1}}{BREAK}${{2}}{CLOSE}",
        rare=True,
    ),
    Mask(
        RARE,
        rf"((?:SQLSTATE|sqlstate|sqlState)(?:{_GAP}|\[))([0-9A-Z]{{2}})([0-9A-Z]{{3}})(?-u:\b)",
        f"${{1}}{OPEN}${{2}}{BREAK}${{3}}{CLOSE}",
        rare=True,
    ),
    Mask(
        RARE,
        r"(?-u:\b)(?:(ERROR [0-9]{4} \([0-9A-Z]{2})([0-9A-Z]{3}\))|(E11)(000)(?-u:\b)|(SQL[0-9]{3})([0-9]{2}[NCW])(?-u:\b))",
        f"{OPEN}${{1}}${{3}}${{5}}{BREAK}${{2}}${{4}}${{6}}{CLOSE}",
        rare=True,
    ),
    Mask(
        "0[xX]",
        r"(?-u:\b)0([xX](?:(?:8[07][0-3]|[eE]0[46]|[cC]0[0-2E])[0-9a-fA-F]|8bad|dead|baad))([0-9a-fA-F]{4})(?-u:\b)",
        f"{OPEN}0{BREAK}${{1}}{BREAK}${{2}}{CLOSE}",
        rare=True,
    ),
    Mask("", rf"((?:{_CODED}){_GAP})(?:{_LONG})(?-u:\b)", f"${{1}}{OPEN}{_IN_PARTS}{CLOSE}", rare=True),
)

_DASHED = (  # prefixes of codes with a dash
    "ORA|TNS|RMAN|PLS|IMP|EXP|UDE|LRM|CRS|PRVF|PRVG|ADR|OCI|DRG|KUP|SP2|NID|OGG|DIM|ACFS|ASMCMD|MY|BEA|SVN|NGAP|DB2|SAP|ERR|ERROR|ERRNO|MQ|IIB|WLS|VSS"
)
_GLUED = "AH|IST|UT|IJ|DEP|AADSTS|JBAS|WFLY[A-Z]{2,4}|ISPN|HHH|ARJUNA"  # of codes whose digits follow at once
WORDS = (
    rf"0x0(?![A-Za-z0-9])|(?:{_DASHED})-[0-9]{{1,6}}(?![0-9])|(?:{_GLUED})[0-9]{{3,7}}(?![0-9])"
    r"|(?:[EWFC][0-9]{4}|[EWF][0-9]{3}|(?:TS|CS|CA|LNK|MSB|NU|BC|FS|NETSDK|SYSLIB|AMQ|DSN|CPF|MCH)[0-9]{3,4}|[PB]0[0-9]{3}|P[1-6]0[0-9]{2}"
    r"|[A-Z]{3,6}[0-9]{3,5}[IWEASDNC])(?![A-Za-z0-9])(?!\s[0-9]{2}:|\s<time>)"
    r"|(?i:http|smtp|sip)[_-]?(?:(?i:error|status|code)[_-]?)?[1-6][0-9]{2}(?![\w%.])"
)
PHRASES = (  # that stand for themselves: systemd's named statuses, substatuses, SMTP replies with their enhanced code
    r"(?<=status=)[0-9]{1,3}(?=/[A-Z])|(?<=HTTP Error )[45][0-9]{2}\.[0-9]{1,2}(?![\w.])"
    r"|(?<![\w.:-])[245][0-9]{2}[ -][245]\.[0-9]{1,3}\.[0-9]{1,3}(?![\w.])|(?<=dsn=)[245]\.[0-9]{1,3}\.[0-9]{1,3}"
    r"|(?<=#)[245]\.[0-7]\.[0-9]{1,3}(?=[\s)])"
)
MNEMONIC = r"%[A-Z][A-Z0-9_]*(?:-[A-Z0-9_]+)*-[0-7]-[A-Z0-9_]+"

_UNITS = (
    r"(?:[KMGTP]?i?B|[kmg]i?[bB]|bytes?|ns|us|µs|ms|msecs?|s|secs?|seconds?|mins?|minutes?|hours?|days?|dBm?|rpm|ppm|PPM|[mk]?V|volts?|degrees?|Hz"
    r"|[a-z]+/s(?:ec)?)\b"
)
_NO_PLURALS = (  # words that end as a plural does
    r"(?:was|has|as|is|does|always|this|its|yes|plus|versus|unless|across|towards|besides|perhaps|sometimes|means|indicates|says|implies|returns|occurs"
    r"|exits|matches|suggests|shows|follows|comes|remains|requires|needs|ends|fails|causes|belongs|responds|replies|closes|denotes|signals)\b"
)
_COUNTED = (  # so it is a count of something
    rf"(?:\s?{_UNITS}|\s(?!{_NO_PLURALS})[a-z][a-z_-]*[a-rt-z]s\b|\sof\s(?:[0-9<]|the)|\serrors?\soccurred|\s---\s"
    r"|\s(?i:skip|pass|warn|fail|ok|total)[a-z]*=|\s/\s|x\b)"
)
_END = rf"(?![\w%]|[.,:/][0-9]|{_COUNTED})"
_JOINS = (
    "from|for|on|at|in|by|to|after|before|while|when|and|but|or|with|without|because|as|is|was|were|instead|again|expected|unexpected|unexpectedly|response"
    "|status|error|code|within|during|via|since|due|got|received|returned|not|until|trying|try|retrying|giving|during|if|which|that|this|so|then|http|over"
    "|reply|than|vs|=>|->|→"
)
_BARE = rf"(?=\s*$|[;:)\]\"'}}|!?,\\](?![0-9])|\.(?![0-9])|\s+(?:{_JOINS}|\w+ing)\b|\s+[(A-Z\[{{\"'#<|/-]|\s+(?:->|=>|→))"  # nothing is counted

_START = r"(?<![A-Za-z0-9])"
_OF_WHAT = (
    "exit|err|error|ret|return|returned|resp?|response|reply|status|stat|state|result|reason|cause|close|sql|http|abort|completion"
    "|condition|fault|stop|reject|failure|sub|alert|trap|bugcheck|final|last|process|child"
)
_NAMED = rf"(?:(?:{_OF_WHAT})[ _-]?)?(?:code|status|errno|signal|retval|return value|exit value)"
_WORDS = (
    rf"(?:{_NAMED}|exit(?:ed|ing)?|(?:died|terminated|crashed|aborted|killed)(?=\s(?:with|by|on)\s)|retcode|rcode|subcode"
    r"|sig(?:kill|term|segv|abrt|bus|int|hup|quit|pipe|fpe|ill|trap|usr[12]|stop|cont|alrm|chld|sys|io|xcpu)"
    r"|respond(?:ed|s)?|response|reply|alert(?=\snumber)|(?:(?<=SSL\s)|(?<=TLS\s)|(?<=fatal\s))alert|sqlcode|sqlstate|winerror|oserror|stratum|permissive|enforcing|severity|sev|runlevel|alarm|fault|curl|fmi"
    r"|(?<!_)(?:err|error|ret|rc|sig|stat))"
)
_CAMEL = r"(?<=[a-z])(?:Code|Status|Signal|Errno)|(?<=[A-Za-z])Error(?=:)|EventID|EventCode|Event ID|Msg|State"
_KEY = rf"(?:{_START}(?i:{_WORDS})|{_CAMEL})(?![A-Za-z0-9])"
_FILL = r"(?i:was|is|of|code|status|value|signal|number|with|by|on|to|response|error|non-zero|return|exit)"
_BRACKET = r"(?:(?<=tatus)|(?<=TATUS)|(?<=[cC]ode)|(?<=CODE)|(?<=rrno)|(?<=ignal))=?\["
_SEPARATED = rf"""(?:["'\\]{{0,3}}(?:\s?[=:]\s{{0,8}}|\s{{1,8}})(?:{_FILL}[:=]?\s){{0,3}}["'(\\]{{0,3}}|\s?=?["'(]{{1,2}}|{_BRACKET})"""
_PROTOCOL = (
    r"(?i:https?(?:/[0-9.]+)?|e?smtp|ftp|sip(?:/2\.0)?|rtsp/[0-9.]+|icap/[0-9.]+|nntp)"
    r"""["'\\]{0,3}(?:\s?[=:#-]\s?|\s{1,8})(?:(?i:status|code|error|response|reply|result|request|returned|with|was|is|a|got|failed|from|remote|server|host)[:=]?\s){0,3}["'(]{0,2}"""
)
_STATUSES = frozenset(
    map(
        str,
        [
            *(*range(100, 104), *range(200, 209), 226, *range(300, 309), *range(400, 419), *range(421, 432), 444, 449, 450, 451, 452, 460, 463, 464),
            *(*range(494, 500), *range(500, 512), *range(520, 534), *range(550, 557), 561, 598, 599, 600, 603, 604, 607, 220, 221, 227, 230, 250, 331, 354),
        ],
    )
)
_FILLED = r"(?:(?i:with|an?|the|by|http|code|status|error|response|reply|of|upstream|unexpected)[: ]\s?){0,3}[\"'(\[]?"
_SAID = (
    r"(?<![A-Za-z0-9_])(?:(?i:got|answer(?:ed|s)?|said|return(?:ed|s|ing)?|repl(?:y|ied|ies)|respond(?:ed|s)?|received?|receiving"
    r"|gave|gives|saw|threw|raised|finished|completed|ended|upstream|served|yield(?:ed|s)|result)(?:\s|\s?[:=]\s?)"
    rf"|(?<!s\s)(?i:fail(?:ed|s|ing|ure)?|reject(?:ed|s)?|refused)(?:\swith\s|:\s|\s(?=\()|\s(?=[A-Z]))){_FILLED}"
)
_METHOD = r"(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|CONNECT|TRACE|PROPFIND|MKCOL|REPORT|PURGE)"
_REQUEST = rf"{_START}{_METHOD}\s(?:[\w.-]+\s)?(?:<path>|<url>|[/*-])[^\s\"]*\s(?:-\s|\"|in\s)?"
_PHRASE = (
    r"(?:OK|Created|Accepted|No\ Content|Partial\ Content|Moved|Found|See\ Other|Not\ Modified|Bad\ |Unauth|Forbid|Not\ Found|Method|Conflict|Gone"
    r"|Unproc|Too\ Many|Payload|Request\ |Precondition|Internal\ S|Not\ Impl|Service\ U|Gateway\ T|[A-Z]+_[A-Z_]+(?![A-Za-z=]))"
)

_COUNT = re.compile(_COUNTED, re.ASCII)
_ENDS = re.compile(_END, re.ASCII)
_BARE_END = re.compile(_BARE, re.ASCII)
_KEYED = re.compile(rf"{_KEY}{_SEPARATED}-?$|SQLSTATE\[[^\]\s]*\]:?\s\[$", re.ASCII)
_PROTOCOLS = re.compile(rf"{_START}{_PROTOCOL}$", re.ASCII)
_RETURNED = re.compile(rf"\bXid(?:\s?\([^)]*\))?\s?[:=]?\s?$|{_START}(?i:return(?:ed|s|ing)?|failed\swith|fails\swith|exits?|died)\s(?i:with\s)?-?$", re.ASCII)
_SPOKEN = re.compile(rf"{_SAID}$|(?:(?<![0-9\s>])|(?<=[^0-9]\s))(?<!<num>\s)(?:-+>|=>|→|<-+)\s?$", re.ASCII)
_REQUESTED = re.compile(rf"{_REQUEST}$", re.ASCII)
_PLACED = tuple(  # what is before and after a status that no word announces
    (re.compile(f"(?:{before})$", re.ASCII), re.compile(after, re.ASCII))
    for before, after in (
        (r"(?:-?(?:[0-9]+|<num>)/){2,4}\+?(?:[0-9]+|<num>)\s", r"\s[0-9<+]"),  # HAProxy: after the timers
        (r"[A-Z]{3}/", r"(?![\w./])"),  # Squid: TCP_MISS/503
        (r"\|\s*", rf"\s*\|.*{_METHOD}"),  # a column of a table
        (r"", rf"\s(?:[1-5][0-9]{{2}}|-)\s(?:[0-9]+|<num>)\s(?:[0-9]+|<num>)\s\"{_METHOD}"),  # ALB: of the balancer, and of its target
        (r"(?:[1-5][0-9]{2}|-)\s", rf"\s(?:[0-9]+|<num>)\s(?:[0-9]+|<num>)\s\"{_METHOD}"),
        (rf"{_METHOD}\s.*\s", r"\s(?:[0-9]{1,3}\s[0-9]{1,4}|<num>)(?:\s(?:[0-9]+|<num>)){1,3}$"),  # IIS: before substatus and the like
        (r"^|[<>]\s", r"[ -][A-Z][a-z]"),  # a reply and its text
        (r"", rf"\ {_PHRASE}"),
    )
)
_EXPLAINED = re.compile(r":\s[A-Z][a-z]", re.ASCII)  # (111: Connection refused)
_SECRET = re.compile(
    r"(?i:bearer|token|secret|passw(?:or)?d|api[_-]?key|session(?:[_-]?id)?|sid|nonce|credentials?|signature|cookie|csrf|jwt)[\"']?[\s:=]{1,3}[\"']?$", re.ASCII
)
_NOTIFIED = re.compile(r"(?i:notification)[^0-9]{1,40}$", re.ASCII)


def decides(text: str, start: int, end: int) -> bool:
    """Whether the number at ``text[start:end]`` is a code, by the words around it, and not an amount."""
    if end - start > 5 or not _ENDS.match(text, end):
        return False
    near = max(0, start - REACH)
    if _KEYED.search(text, near, start):
        return True
    if end - start > 3:
        return False
    if text[start] in "123456" and end - start == 3 and _PROTOCOLS.search(text, near, start):
        return True
    if text[start - 1 : start] == "(" and _EXPLAINED.match(text, end):
        return True
    bare = _BARE_END.match(text, end) is not None
    if bare and _RETURNED.search(text, near, start):
        return True
    return text[start:end] in _STATUSES and ((bare and _SPOKEN.search(text, near, start) is not None) or _is_placed(text, start, end))


def counted(text: str, end: int) -> bool:
    """Whether what follows makes the number that ends there an amount of something."""
    return _COUNT.match(text, end) is not None


def is_secret(text: str, start: int) -> bool:
    """Whether the word at ``start`` is announced as a token or a password."""
    return _SECRET.search(text, max(0, start - REACH), start) is not None


def notifies(text: str, start: int) -> bool:
    """Whether a pair of numbers at ``start`` is the code and subcode of a BGP notification."""
    return _NOTIFIED.search(text, max(0, start - REACH), start) is not None


def _is_placed(text: str, start: int, end: int) -> bool:
    """Whether a status stands where access logs have one."""
    far = max(0, start - FAR)
    if any(after.match(text, end) and before.search(text, far, start) for before, after in _PLACED):
        return True
    return _REQUESTED.search(text, far, start) is not None
