"""The plugins of one detector: the built-in ones and those of other distributions, all through the same hooks."""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, NamedTuple, cast

import pluggy

from ra_sdk import hookspecs, sinks, sources
from ra_sdk.errors import BadOption, ModelError, RaError, SinkError, SourceError, UnknownScheme
from ra_sdk.hookspecs import Format, Reasoner, Sink, Source, hookimpl

__all__ = ["Listed", "PluginSet", "PluginWarning"]

GROUP = "ra_sdk"
OWN = "ra-sdk"


class PluginWarning(UserWarning):
    """A plugin could not be used and was skipped."""


class Listed(NamedTuple):
    """A line of ``ra plugins``. ``error`` is None for a plugin that works."""

    name: str
    distribution: str
    version: str
    hooks: tuple[str, ...]
    error: str | None = None


@dataclass(frozen=True)
class _Builtin:
    """Adapts the rooms that know nothing of hooks."""

    @hookimpl(trylast=True)
    def ra_sdk_formats(self) -> list[Format]:
        """The built-in formats."""
        from ra_sdk.formats import builtin_formats

        return builtin_formats()

    @hookimpl(trylast=True)
    def ra_sdk_open_reasoner(self, model: str | None, options: Mapping[str, Any]) -> Reasoner | None:
        """A GGUF through llama.cpp, or the stand-in for trials."""
        from ra_sdk.reasoner import open_reasoner

        return open_reasoner(model, options)


class PluginSet:
    """Loads and asks plugins. ``RA_PLUGINS`` limits those of other distributions to the names it lists (empty: none).

    A plugin that is broken is named in a PluginWarning and skipped.
    """

    def __init__(self, plugins: Sequence[object] = ()) -> None:
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._listed: list[Listed] = []
        from ra_sdk import __version__

        for name, plugin in {"builtin": _Builtin(), "sources": sources, "sinks": sinks}.items():
            self._add(name, plugin, OWN, __version__)
        for number, plugin in enumerate(plugins):
            self._add(f"{getattr(plugin, '__name__', type(plugin).__name__)}-{number}", plugin, "(given)", "")
        allowed = os.environ.get("RA_PLUGINS")
        names = None if allowed is None else {name.strip() for name in allowed.split(",")}
        for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
            if names is None or entry.name in names:
                self._load(entry)

    def formats(self) -> list[Format]:
        """All formats, those of plugins first. A plugin that fails to give its own is skipped."""
        return [form for forms in self._manager.hook.ra_sdk_formats() for form in forms or []]

    def open_source(self, source: object, options: Mapping[str, Any]) -> Source:
        """A source from a path, a URL, or what Python has in memory. Raises SourceError, UsageError."""
        found: Any = sources.as_source(source)
        if found is None:
            url = os.fspath(source) if isinstance(source, os.PathLike) else str(source)
            found = self._ask("ra_sdk_open_source", SourceError, url=str(url), options=options)
        if found is None:
            raise _unknown(str(source), "source", ["file", "stdin", *self._names()])
        return cast("Source", found)

    def open_sink(self, url: str, options: Mapping[str, Any]) -> Sink:
        """A sink from a URL. Raises SinkError, UnknownScheme."""
        found = self._ask("ra_sdk_open_sink", SinkError, url=url, options=options)
        if found is None:
            raise _unknown(url, "sink", ["jsonl", *self._names()])
        return cast("Sink", found)

    def open_reasoner(self, model: object, options: Mapping[str, Any]) -> Reasoner:
        """The reasoner of ``model=``. An object with ``judge()`` is one. Raises ModelError."""
        if model is not None and not isinstance(model, str | Path):
            if not callable(getattr(model, "judge", None)):
                raise BadOption(f"model {model!r} has no judge(); give a path, a name, or an object with judge(templates, mode)")
            return cast("Reasoner", model if hasattr(model, "digest") else _Named(model))
        found = self._ask("ra_sdk_open_reasoner", ModelError, model=None if model is None else str(model), options=options)
        if found is None:
            raise ModelError(f"model {model!r} is opened by no plugin; give the path of a GGUF file")
        return cast("Reasoner", found)

    def listing(self) -> list[Listed]:
        """What was found, the skipped ones with their error."""
        return list(self._listed)

    def _names(self) -> list[str]:
        return [listed.name for listed in self._listed if listed.distribution != OWN and not listed.error]

    def _load(self, entry: EntryPoint) -> None:
        distribution = entry.dist.name if entry.dist else "?"
        version = entry.dist.version if entry.dist else "?"
        try:
            plugin = entry.load()
        except Exception as error:  # noqa: BLE001  whatever a stranger's module does on import
            self._skip(entry.name, distribution, version, error)
            return
        self._add(entry.name, plugin, distribution, version)

    def _add(self, name: str, plugin: object, distribution: str, version: str) -> None:
        try:
            self._manager.register(plugin, name=name)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as error:
            if self._manager.has_plugin(name):
                self._manager.unregister(name=name)
            self._skip(name, distribution, version, error)
            return
        callers = self._manager.get_hookcallers(plugin) or []
        self._listed.append(Listed(name, distribution, version, tuple(sorted(caller.name for caller in callers))))

    def _skip(self, name: str, distribution: str, version: str, error: Exception) -> None:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        self._listed.append(Listed(name, distribution, version, (), reason))
        message = f"plugin {name!r} of {distribution} {version} is skipped: {reason}; mend or uninstall it, or leave it out with RA_PLUGINS"
        warnings.warn(message, PluginWarning, stacklevel=4)

    def _ask(self, hook: str, otherwise: type[RaError], **arguments: Any) -> Any:
        """Ask one plugin after the other; the first answer counts. What a plugin raises by mistake becomes one of our errors, and names it."""
        for implementation in reversed(getattr(self._manager.hook, hook).get_hookimpls()):
            try:
                found = implementation.function(*(arguments[name] for name in implementation.argnames))
            except RaError:
                raise
            except Exception as error:
                what = arguments.get("url", arguments.get("model"))
                raise otherwise(f"{what!r}: plugin {implementation.plugin_name!r} failed with {error!r}; report it to its authors") from error
            if found is not None:
                return found
        return None


class _Named:
    """Gives a bare object with ``judge()`` the name and digest that a reasoner has."""

    def __init__(self, inner: Any) -> None:
        self.name = self.digest = getattr(inner, "name", None) or f"{type(inner).__module__}.{type(inner).__qualname__}"
        self.judge = inner.judge


def _unknown(url: str, kind: str, schemes: list[str]) -> UnknownScheme:
    scheme = url.split(":")[0]
    near = difflib.get_close_matches(scheme, schemes, 1)
    hint = f"did you mean {near[0]}:? " if near else ""
    return UnknownScheme(f"{url!r} is no {kind} that a plugin opens; {hint}known are {', '.join(f'{name}:' for name in schemes)}; see ra plugins")
