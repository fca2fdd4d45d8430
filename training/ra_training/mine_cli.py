"""The sub-command ``ra-train mine``."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_mine"]

CACHE = Path("~/.cache/ra-train/sources")

_DESCRIPTION = """\
Mine log statements from the source code of the software that operators run.

Each package of a list (sources.toml beside this program, or --sources) is downloaded once into the cache, read without
being unpacked, and searched for log calls: syslog, printk and dev_err, ereport, slf4j and log4j, logging, klog, zap,
console, tracing and many more. A statement is written as the template that `ra detect` would see: `%s` and `{}` become
<*>, `%d` what the masks make of a number, and the same masks run over it. One JSON object a line:

  {"system": "redis", "project": "redis", "language": "c", "file": "redis-7.0.15/src/rdb.c", "line": 1400,
   "level": "WARN", "text": "Error moving temp DB file <*> on the final destination <*> (in server root dir <*>): <*>",
   "source": "debian:redis_7.0.15.orig.tar.gz", "licence": "BSD"}

The list's families under `held_out` are those that models are tested on; a list that mines one is refused."""

_EPILOG = """\
examples:
  ra-train mine --list                                     what would be mined
  ra-train mine --out redis.jsonl --system redis           one system, every level
  ra-train mine --out all.jsonl --levels WARN,ERROR,FATAL  everything on the list: some gigabytes, an hour
  ra-train mine --out mine.jsonl --sources my.toml         your own packages; copy the form of sources.toml

Debian sources come from the mirror that apt is set up for, Go modules from GOPROXY, wheels by pip, tarballs by npm.
A run that was stopped goes on with what the cache has. A package that cannot be had is a warning, not an end."""


def add_mine(parser: argparse.ArgumentParser) -> None:
    """Hang the options onto ``ra-train mine``."""
    from ra_training.mine import LEVELS, SOURCES
    from ra_training.packages import CRATES, MAVEN_CENTRAL

    parser.description, parser.epilog = _DESCRIPTION, _EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--out", type=Path, metavar="FILE.jsonl", help="where the statements go")
    what.add_argument("--list", action="store_true", help="print the packages and stop")
    parser.add_argument("--sources", type=Path, default=SOURCES, metavar="FILE.toml", help="the list of packages; else the one that comes with ra-train")
    parser.add_argument("--system", action="append", default=[], metavar="NAME", help="only this system; repeat it for more")
    parser.add_argument("--levels", type=_levels, default=LEVELS, metavar="LEVEL,…", help=f"only these, of {', '.join(LEVELS)}; else all")
    parser.add_argument("--cache", type=Path, default=CACHE, metavar="DIR", help=f"where archives are kept; else {CACHE}")
    parser.add_argument("--maven", default=MAVEN_CENTRAL, metavar="URL", help="Maven repository; else Maven Central")
    parser.add_argument("--crates", default=CRATES, metavar="URL", help="where crates are downloaded; else crates.io")
    parser.set_defaults(run=_mine)


def _levels(text: str) -> tuple[str, ...]:
    from ra_training.mine import LEVELS

    levels = tuple(text.upper().split(","))
    unknown = [level for level in levels if level not in LEVELS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is not a level; give some of {','.join(LEVELS)}")
    return levels


def _mine(args: argparse.Namespace) -> int:
    from ra_sdk.errors import BadOption

    from ra_training.mine import mine, read_sources
    from ra_training.packages import Registries

    packages = read_sources(args.sources)
    unknown = set(args.system) - {package.system for package in packages}
    if unknown:
        raise BadOption(f"`--system` {min(unknown)!r} is not in {args.sources}; `ra-train mine --list` shows what is")
    packages = [package for package in packages if not args.system or package.system in args.system]
    if args.list:
        for package in packages:
            print(f"{package.system}\t{package.label}\t{package.version}")
        return 0
    done = mine(packages, Registries(args.cache.expanduser(), args.maven, args.crates), args.out, args.levels)
    levels = ", ".join(f"{count} {level}" for level, count in done.levels.most_common())
    print(f"{args.out}: {done.levels.total()} statements of {sum(map(bool, done.systems.values()))} systems ({levels})")
    if done.missing:
        print(f"{len(done.missing)} packages could not be had: {', '.join(done.missing)}")
    return int(not done.levels)
