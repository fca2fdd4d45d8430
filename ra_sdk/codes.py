"""Values that decide: what masking leaves in place, and the words by which it is recognised.

``SHIELDS`` protect long codes from the coarse masks: they put a code between ``OPEN`` and ``CLOSE`` and ``BREAK`` into
it, so that no mask finds a long number there. ``KEPT`` are fine patterns, tried before those of the placeholders.
"""

from __future__ import annotations

from ra_sdk.placeholders import Mask

__all__ = ["BREAK", "CLOSE", "KEPT", "OPEN", "SHIELDS"]

OPEN, CLOSE, BREAK = "\ufdd0", "\ufdd1", "\ufdd2"  # noncharacters: Unicode keeps them for internal use

_PREFIXES = (  # of codes with a dash
    "ORA|TNS|RMAN|PLS|IMP|EXP|UDE|LRM|CRS|PRVF|PRVG|ADR|OCI|DRG|KUP|SP2|NID|OGG|DIM|ACFS|ASMCMD|MY|BEA|SVN|NGAP|DB2|SAP"
    "|ERR|ERROR|ERRNO|MQ|IIB|WLS|TM|VSS|HPE|LSI|JNCIA"
)
_GLUED = "AADSTS|JBAS|WFLYSRV|WFLYCTL|WFLYEJB|WFLYJCA|ISPN|HHH|ARJUNA"  # of codes whose digits follow at once
_CODED = (
    "[Ss]tatus|STATUS|[Cc]ode|CODE|[Ee]rror|ERROR|[Ee]rrno|[Ee]xited|[Ee]xit|EventID|EventCode"
    "|[Rr]esult|HRESULT|hresult|NTSTATUS|BugCheck|[Bb]ugcheck|[Rr]eturned|(?-u:\\b)rc"
)
_GAP = r"""["'\\]{0,2}(?:\s?[=:]\s{0,4}|\s{1,4})(?:(?:with|is|was|code|status)\s)?["'(\[\\]{0,2}"""
_LONG = (  # five digits; signed; the unsigned form of a negative 32-bit number; hexadecimal
    r"([1-9][0-9]{2})([0-9]{2})|(-[0-9]{1,4})([0-9]{1,4})([0-9]{0,2})|([34][0-9]{3})([0-9]{4})([0-9]{2})"
    r"|(0)([xX][0-9a-fA-F]{1,4})([0-9a-fA-F]{0,4})"
)
_IN_PARTS = "".join(f"${{{group}}}{BREAK}" for group in range(2, 13))

SHIELDS = (
    Mask("%(?:ASA|FTD|PIX|FWSM)-", r"(%(?:ASA|FTD|PIX|FWSM)-(?:[A-Za-z]+-)?[0-7]-[0-9]{3})([0-9]{3})", f"{OPEN}${{1}}{BREAK}${{2}}{CLOSE}"),
    Mask(
        f"(?:{_PREFIXES})-[0-9]{{5}}|(?:{_GLUED})[0-9]{{4}}",
        rf"(?-u:\b)((?:{_PREFIXES})-[0-9]{{0,4}}|(?:{_GLUED})[0-9]{{0,4}})([0-9]{{1,4}})(?-u:\b)",
        f"{OPEN}${{1}}{BREAK}${{2}}{CLOSE}",
    ),
    Mask(
        "SQLSTATE|sqlstate|sqlState",
        rf"((?:SQLSTATE|sqlstate|sqlState)(?:{_GAP}|\[))([0-9A-Z]{{2}})([0-9A-Z]{{3}})(?-u:\b)",
        f"${{1}}{OPEN}${{2}}{BREAK}${{3}}{CLOSE}",
    ),
    Mask(
        "0[xX](?:8|[cC]0)",
        r"(?-u:\b)0([xX](?:8[07][0-3]|[cC]0[0-2E])[0-9a-fA-F])([0-9a-fA-F]{4})(?-u:\b)",
        f"{OPEN}0{BREAK}${{1}}{BREAK}${{2}}{CLOSE}",
    ),
    Mask("", rf"((?:{_CODED}){_GAP})(?:{_LONG})(?-u:\b)", f"${{1}}{OPEN}{_IN_PARTS}{CLOSE}"),
)

_UNITS = (
    r"(?:[KMGTP]?i?B|[kmg]i?[bB]|bytes?|ns|us|µs|ms|msecs?|s|secs?|seconds?|mins?|minutes?|hours?|days?|dBm?|rpm|[mk]?V|volts?|degrees?|Hz"
    r"|[a-z]+/s(?:ec)?)\b"
)
_NO_PLURALS = (  # words that end as a plural does
    r"(?:was|has|as|is|does|always|this|its|yes|plus|versus|unless|across|towards|besides|perhaps|sometimes|means|indicates|says|implies|returns|occurs"
    r"|exits|matches|suggests|shows|follows|comes|remains|requires|needs|ends|fails|causes|belongs|responds|replies|closes|denotes|signals)\b"
)
_COUNTED = rf"(?:\s?{_UNITS}|\s(?!{_NO_PLURALS})[a-z][a-z_-]*[a-rt-z]s\b|\sof\s(?:[0-9<]|the)|\s/\s|x\b)"  # so it is a count of something
_END = rf"(?![\w%]|[.,:/][0-9]|{_COUNTED})"
_JOINS = (
    "from|for|on|at|in|by|to|after|before|while|when|and|but|or|with|without|because|as|is|was|were|instead|again|expected|unexpected|unexpectedly|response"
    "|status|error|code|within|during|via|since|due|got|received|returned|not|until|trying|try|retrying|giving|during|if|which|that|this|so|then|http|over"
    "|reply|than|vs|=>|->|→"
)
_BARE = rf"(?=\s*$|[;:)\]\"'}}|!?,\\](?![0-9])|\.(?![0-9])|\s+(?:{_JOINS}|\w+ing)\b|\s+[(A-Z\[{{\"'#<|/-]|\s+(?:->|=>|→))"  # nothing is counted

_START = r"(?<![A-Za-z0-9])"
_OF_WHAT = r"exit|err|error|ret|return|returned|resp?|response|reply|status|stat|state|result|reason|cause|close|sql|http|abort|completion|condition|fault|stop|reject|failure|sub|alert|trap|bugcheck|final|last|process|child"
_NAMED = rf"(?:(?:{_OF_WHAT})[ _-]?)?(?:code|status|errno|signal|retval|return value|exit value)"
_WORDS = (
    rf"(?:{_NAMED}|exit(?:ed|ing|s)?|(?:died|terminated|crashed|aborted|killed)(?=\s(?:with|by|on)\s)|sig|sig[a-z]{{3,5}}|rc|err|error|ret|stat|retcode"
    r"|rcode|subcode|respond(?:ed|s)?|response|reply|alert|sqlcode|sqlstate|winerror|oserror|stratum|severity|sev|runlevel|alarm|fault|curl|fmi|smtp|esmtp"
    r"|ftp|sip(?:/2\.0)?|rtsp/[0-9.]+|icap/[0-9.]+|nntp|https?(?:/[0-9.]+)?)"
)
_CAMEL = r"(?<=[a-z])(?:Code|Status|Signal|Errno)|EventID|EventCode|Event ID|Msg|State"
_KEY = rf"(?:{_START}(?i:{_WORDS})|{_CAMEL})(?![A-Za-z0-9])"
_FILL = r"(?i:was|is|of|code|status|value|signal|number|with|by|on|to|response|error|non-zero|return|exit)"
_SEPARATED = rf"""(?:["'\\]{{0,3}}(?:\s?[=:]\s{{0,8}}|\s{{1,8}})(?:{_FILL}[:=]?\s){{0,3}}["'(\[\\]{{0,3}}|["'(\[]{{1,2}})"""
_STATUS = (
    "(?:10[0-3]|20[0-8]|226|30[0-8]|40[0-9]|41[0-8]|42[1-9]|431|44[49]|45[01]|46[0-4]|49[4-9]|50[0-9]|51[01]|52[0-9]|53[0-9]|55[0-6]|561|59[89]|60[0347])"
)
_SAID = (
    r"(?i:got|gets|getting|answer(?:ed|s)?|says?|said|return(?:ed|s|ing)?|repl(?:y|ied|ies)|respond(?:ed|s)?|receive[ds]?|receiving|fail(?:ed|s|ing|ure)?"
    r"|reject(?:ed|s)?|refused|gave|gives|saw|sees|sent|sends|throws|threw|raised|finished|completed|ended|upstream|expected|unexpected|but|was|is|not"
    r"|ok|served|yield(?:ed|s)|hit|rc|result|->)"
)
_SAYING = r"(?:\s|\s?[:=]\s?)(?:(?i:with|an?|the|by|http|code|status|error|response|reply|of|upstream|unexpected)[: ]\s?){0,3}[\"'(\[]?"
_METHOD = r"(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|CONNECT|TRACE|PROPFIND|MKCOL|REPORT|PURGE)"
_REQUEST = rf"{_START}{_METHOD}\s(?:[\w.-]+\s)?(?:<path>|<url>|[/*-])[^\s\"]*\s(?:-\s|\"|in\s)?"
_PHRASE = (
    r"(?:OK|Created|Accepted|No\ Content|Partial\ Content|Moved|Found|See\ Other|Not\ Modified|Bad\ |Unauth|Forbid|Not\ Found|Method|Conflict|Gone"
    r"|Unproc|Too\ Many|Payload|Request\ |Precondition|Internal\ S|Not\ Impl|Service\ U|Gateway\ T|[A-Z]+_[A-Z_]+\b)"
)

KEPT = (  # the name of a group says what becomes of a match; `pre` is masked in its turn
    ("shielded", rf"{OPEN}[^{CLOSE}]*{CLOSE}(?!{_COUNTED})"),
    ("counted", rf"{OPEN}[^{CLOSE}]*{CLOSE}"),
    ("name", r"%[A-Z][A-Z0-9_]*(?:-[A-Z0-9_]+)*-[0-7]-[A-Z0-9_]+"),
    ("name", rf"(?<![A-Za-z0-9])(?:{_PREFIXES})-[0-9]{{1,6}}(?![0-9])"),
    ("name", rf"(?<![A-Za-z0-9])(?:{_GLUED})[0-9]{{4,7}}(?![0-9])"),
    (
        "name",
        r"(?<![A-Za-z0-9])(?:[EWFC][0-9]{4}|[EWF][0-9]{3}|(?:TS|CS|CA|LNK|MSB|NU|BC|FS|NETSDK|SYSLIB|AMQ|DSN|CPF|MCH|SP)[0-9]{3,4}|[PB]0[0-9]{3}"
        r"|[A-Z]{3,6}[0-9]{3,5}[IWEASDNC])(?![A-Za-z0-9])(?!\s[0-9]{2}:|\s<time>)",
    ),
    ("name", r"(?<![\w.:-])[245][0-9]{2}[ -][245]\.[0-9]{1,3}\.[0-9]{1,3}(?![\w.])|(?<=dsn=)[245]\.[0-9]{1,3}\.[0-9]{1,3}|(?<=[#(])[245]\.[0-7]\.[0-9]{1,3}(?=[\s)])"),
    ("kept_key", rf"(?P<pre_key>{_KEY}{_SEPARATED})(?P<key>-?[0-9]{{1,5}}){_END}"),
    ("kept_http", rf"(?P<pre_http>{_START}(?i:http|smtp|sip)[_-]?(?:(?i:error|status|code)[_-]?)?)(?P<http>[1-6][0-9]{{2}})(?![\w%.])"),
    ("kept_return", rf"(?P<pre_return>{_START}(?i:return(?:ed|s|ing)?|failed\swith|fails\swith|exits?|died)[\s:](?i:with\s)?)(?P<return>-?[0-9]{{1,3}}){_BARE}"),
    ("kept_said", rf"(?P<pre_said>{_START}{_SAID}{_SAYING})(?P<said>{_STATUS}){_BARE}"),
    ("kept_arrow", rf"(?P<pre_arrow>(?:(?<![0-9\s>])|(?<=[^0-9]\s))(?<!<num>\s)(?:-+>|=>|→|<-+)\s?)(?P<arrow>{_STATUS}){_BARE}"),
    ("kept_request", rf"(?P<pre_request>{_REQUEST})(?P<request>{_STATUS})(?![\w%:/.-])(?!\s?{_UNITS})"),
    ("kept_timers", rf"(?P<pre_timers>{_START}(?:-?(?:[0-9]+|<num>)/){{2,4}}\+?(?:[0-9]+|<num>)\s)(?P<timers>{_STATUS}|-1)(?=\s[0-9<+])"),
    ("kept_last", rf"(?P<pre_last>(?<=\s))(?P<last>{_STATUS})(?=\s(?:[0-9]{{1,3}}\s[0-9]{{1,4}}|<num>)(?:\s(?:[0-9]+|<num>)){{1,3}}$)"),
    ("name", rf"(?<=[A-Z]/)[0-5][0-9]{{2}}(?![\w./])|(?<=\|\s){_STATUS}(?=\s*\|)|(?<=\|){_STATUS}(?=\|)|{_START}{_STATUS}(?=\s{_STATUS}\s\S+\s\S+\s\")"),
    ("name", rf"(?<=[0-9]\s){_STATUS}(?=\s(?:[0-9]+|<num>)\s(?:[0-9]+|<num>)\s\"{_METHOD})"),
    ("name", rf"\b[1-6][0-9]{{2}}(?=\ {_PHRASE})|(?:^|(?<=[:<>(\[]\s)|(?<=[(\[\"]))[1-6][0-9]{{2}}(?=[ -][A-Z][a-z])|(?<=\()[0-9]{{1,3}}(?=:\s[A-Z][a-z])"),
    ("kept_bgp", r"(?P<pre_bgp>(?i:notification)[^0-9]{1,40})(?P<bgp>[1-7]/[0-9]{1,2})(?![0-9/])"),
    ("name", r"\b0x0\b"),
)
