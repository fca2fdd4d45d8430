"""Run targets with atheris, one after the other: ``python -m fuzz --seconds 60 [TARGET...]``.

What is found stays in ``fuzz/corpus/TARGET``, an input that broke a target as ``crash-…`` there; the exit code is 1 then.
"""

import argparse
import hashlib
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from fuzz.seeds import seeds

CORPUS = Path(__file__).parent / "corpus"
NAMES = ("formats", "masks", "otlp_protobuf", "otlp_json", "state", "text")


def main():
    """Fuzz, and say which targets broke."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[*NAMES, []], help="all, if none is named")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    options = parser.parse_args()
    if find_spec("atheris") is None:
        print("atheris is not installed; get it with: pip install --group fuzz", file=sys.stderr)
        return 2
    broken = [name for name in options.targets or NAMES if run(name, options.seconds)]
    print(f"broken: {', '.join(broken)}; see {CORPUS}/TARGET/crash-*" if broken else "nothing found")
    return bool(broken)


def run(name, seconds):
    """Fuzz a target in a process of its own, since it ends with the process."""
    folder = CORPUS / name
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds(name):
        (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    flags = [f"-max_total_time={seconds}", f"-artifact_prefix={folder}/crash-", "-timeout=20", "-rss_limit_mb=2500", "-max_len=8192", "-print_final_stats=1"]
    print(f"== {name}, {seconds} s", flush=True)
    return subprocess.run([sys.executable, "-m", "fuzz.once", name, str(folder), *flags], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
