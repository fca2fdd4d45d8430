"""LogLead's template mining on ready-made bodies: run by the benchmark with the Python of an environment that has LogLead and not ours.

``python loglead_peer.py BODIES.parquet``: masks once, then mines with Drain and with Tipping (LogLead's fastest). Prints seconds as JSON.
"""

import json
import sys
import time
import warnings
from importlib.metadata import version

warnings.simplefilter("ignore")


def seconds(path: str, parser: str) -> float:
    """The better of two runs over the file, masks and all."""
    import polars as pl
    from loglead.enhancers import EventLogEnhancer

    best = float("inf")
    for _ in range(2):
        frame = pl.read_parquet(path)
        start = time.perf_counter()
        enhancer = EventLogEnhancer(frame)
        enhancer.mask()
        getattr(enhancer, f"parse_{parser}")()
        best = min(best, time.perf_counter() - start)
    return best


if __name__ == "__main__":
    found = {parser: seconds(sys.argv[1], parser) for parser in ("drain", "tip")}
    print(json.dumps({**found, "version": version("loglead")}))
