import pytest

from ra_sdk.templates.quotes import QUOTABLE, clause, without, words


@pytest.mark.parametrize(("text", "expected"), [("", []), ("one", ["one"]), ("  disk   failed: no\tspace ", ["disk", "failed:", "no", "space"])])
def test_words_are_found_where_they_stand(text, expected):
    assert [text[start:end] for start, end in words(text)] == expected


@pytest.mark.parametrize(("left_out", "rest"), [("disk ", "sda failed"), ("sda", "disk failed"), (" failed", "disk sda"), ("disk sda failed", "")])
def test_what_is_left_has_no_gap(left_out, rest):
    text = "disk sda failed"
    at = text.index(left_out)
    assert without(text, at, at + len(left_out)) == rest


@pytest.mark.parametrize(
    ("text", "word", "expected"),
    [
        ("disk failed", "failed", "disk failed"),
        ("ERROR: relation \"<*>\" does not exist at character <*>", "exist", "does not exist at character <*>"),
        ("operation ost_write to node <ip>@o2ib failed: rc = -107", "rc", "rc = -107"),
        ("server process (PID <*>) was terminated by signal 9: Killed", "terminated", "was terminated by signal 9"),
        ("PIN try counter exceeded, card captured", "try", "PIN try counter exceeded"),
        ("state=DOWN", "DOWN", "state=DOWN"),
        ("payload absent from store [HRESULT = <hex> - ERROR_SXS_MISSING]", "ERROR", "ERROR_SXS_MISSING"),
        ("connect() failed (111: Connection refused) while connecting", "refused", "Connection refused"),
        ("skipped due to earlier failure(s)", "failure", "skipped due to earlier failure(s)"),
        ("status=\"FAILED\" code=7", "FAILED", "FAILED"),
        ("one two three four five six seven eight nine ten", "nine", "three four five six seven eight nine"),
        ("took <sec>, too long for a lock", "lock", "too long for a lock"),
    ],
)  # fmt: skip
def test_a_word_is_quoted_with_its_clause(text, word, expected):
    at = text.index(word)
    found = clause(text, at, at + len(word))
    assert found == expected
    assert found in text
    assert len(found.split()) <= QUOTABLE


def test_nothing_is_quoted_of_nothing():
    assert clause("", 0, 0) == ""
