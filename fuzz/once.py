"""Fuzz one target in this process: ``python -m fuzz.once TARGET FLAGS…``, with the flags of libFuzzer."""

import sys

import atheris

if __name__ == "__main__":
    with atheris.instrument_imports(include=["ra_sdk"]):
        from fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()
