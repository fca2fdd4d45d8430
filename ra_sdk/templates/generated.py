"""Generated names told from words: ULIDs, nanoids, base64 and the like look drawn at random, words and numbered names do not."""

from __future__ import annotations

import re

__all__ = ["is_generated", "is_generated_whole"]

_RUNS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
_DEVICE = re.compile(r"(?:en[ops]|wl[ops]|nvme|mmcblk)[a-z0-9]+")
_LETTERS = re.compile(r"[A-Za-z]+")
_PARTS = re.compile(r"[A-Za-z0-9]+")
_PAIRS = frozenset(  # of letters, that are common in English and in the names of software
    """th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me de hi ri ro ic ne ea ra ce li
    ch ll be ma si om ur ss sh ht tp db sq ql lo og ad em pr us ac ab pa ct ec ex xt im ag ge il et ut un up po pl no ni mo mp mi lt ly
    lu la ld ki ke iv ir id ia ho gr go gi ga fo fi fe fa ev ep el ee di da cu cr cl ck ci ca bu bo bl ba av au ay ap am ai wo wi we wa
    vi va ue tu ts tr ta su so sc rv ru rt rs rm rk rd qu pt pp pi ph pe ov os op oo ol ok od ob oa nu ns nn na ms mm mb ls ks ka iz ip
    ig if ie ib gh ft ff fr fu ew eq ef eb dy dr do ds cy by br bj ak af yp ys ze xc ub uc ud ug ui ul um vo sp sk rn rl rg oc ry ty my
    tt nc nf gu ws vm tc cp ps
    """.split()
)


def is_generated(name: str) -> bool:
    """Whether a name of letters and digits looks drawn at random: runs too short for its length, or pairs of letters that no word has."""
    if name.isdigit() or _DEVICE.fullmatch(name):
        return False
    runs = _RUNS.findall(name)
    size, digits = len(name), sum(run[0] <= "9" for run in runs)
    if size < 10 or (size == 20 and name[:4] in ("AKIA", "ASIA")):
        return size == 20 or (digits >= 3 and size / len(runs) < 1.9)
    if (digits >= 2 and size / len(runs) < 2.7) or (size >= 12 and name[0] <= "9"):
        return True
    pairs, share = _pairs(name)
    if size < 16:
        return digits > 0 and pairs >= 5 and share < 0.5
    return pairs >= 6 and share < (0.62 if digits else 0.45)


def is_generated_whole(name: str) -> bool:
    """The same of a name with dashes, underscores and the like in it, none of whose parts is a word."""
    parts = _PARTS.findall(name)
    plain = "".join(parts)
    if len(parts) < 2 or len(plain) < 16 or plain in (plain.lower(), plain.upper()) or not any("0" <= char <= "9" for char in plain):
        return False
    return is_generated(plain) and not any(_is_word(part) for part in parts)


def _is_word(part: str) -> bool:
    least = 0.5 if part in (part.lower(), part.upper(), part.title()) else 0.6
    return len(part) >= 3 and part.isalpha() and _pairs(part)[1] >= least


def _pairs(name: str) -> tuple[int, float]:
    """How many pairs of letters a name has, and the share of those that are common."""
    pairs = [word[at : at + 2] for word in _LETTERS.findall(name.lower()) for at in range(len(word) - 1)]
    return len(pairs), sum(pair in _PAIRS for pair in pairs) / (len(pairs) or 1)
