"""The targets of ``make fuzz``, each for a moment: seeds, and what hypothesis makes of them."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.__main__ import NAMES
from fuzz.seeds import seeds
from fuzz.targets import TARGETS

KEPT = settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
PARTS = st.one_of(
    st.binary(max_size=20),
    st.text(max_size=20).map(str.encode),
    st.sampled_from([b"\n", b" ", b"\0", b'"', b"{", b"}", b"[", b"=", b"\xff", b"1e999", b"-", b"0000", b"\xe2\x80\xae", b"\x12\x00"]),
)

EACH = pytest.mark.parametrize("target", NAMES)


def test_every_target_is_run():
    assert set(NAMES) == set(TARGETS)


@EACH
def test_seeds(target):
    for seed in seeds(target):
        assert TARGETS[target](seed) is None


@EACH
def test_mutants(target):
    @KEPT
    @given(st.sampled_from(seeds(target)), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), PARTS), max_size=4))
    def check(seed, changes):
        for place, length, part in changes:
            at = int(place * len(seed))
            seed = seed[:at] + part + seed[at + length :]
        TARGETS[target](seed)

    check()


@EACH
def test_anything(target):
    @KEPT
    @given(st.lists(PARTS, max_size=12).map(b"".join))
    def check(data):
        TARGETS[target](data)

    check()
