"""The plugins of one detector: the built-in ones and those of other distributions, all through the same hooks."""

from __future__ import annotations

import difflib
import os
import warnings
import weakref
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import pluggy

from ra_sdk import hookspecs
from ra_sdk.errors import BadOption, ModelError, RaError, SinkError, SourceError, UnknownScheme, WorldError
from ra_sdk.hookspecs import Format, Listener, Reasoner, Sink, Source, hookimpl
from ra_sdk.plugin import API
from ra_sdk.sinks import jsonl as sinks
from ra_sdk.sources import builtin as sources
from ra_sdk.sources.several import JoinedSource, Sources
from ra_sdk.templates.placeholders import Mask

if TYPE_CHECKING:
    from ra_sdk.knowledge import Entry

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
    hooks: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class _Builtin:
    """Adapts the rooms that know nothing of hooks."""

    @hookimpl
    def ra_sdk_formats(self) -> list[Format]:
        """The built-in formats."""
        from ra_sdk.formats import builtin_formats

        return builtin_formats()

    @hookimpl
    def ra_sdk_open_reasoner(self, model: str | None, options: Mapping[str, Any]) -> Reasoner | None:
        """A GGUF through llama.cpp, or the stand-in for trials."""
        from ra_sdk.reasoner.llama import open_reasoner

        return open_reasoner(model, options)


class PluginSet:
    """Loads and asks plugins: objects that are given, and those of installed distributions, the built-in ones last.

    ``RA_PLUGINS`` limits those of other distributions to the names it lists (empty: none). A plugin that is broken is named in a PluginWarning and skipped.
    """

    def __init__(self, plugins: Sequence[object] = ()) -> None:
        self._manager = pluggy.PluginManager(GROUP)
        self._manager.add_hookspecs(hookspecs)
        self._listed: list[Listed] = []
        self._makers: dict[int, str] = {}  # id of a source or sink: the plugin that opened it
        from ra_sdk import __version__

        for name, plugin in {"builtin": _Builtin(), "sources": sources, "sinks": sinks}.items():
            self._add(Listed(name, OWN, __version__), plugin)
        for entry in _entries():
            listed = Listed(entry.name, entry.dist.name if entry.dist else "?", entry.dist.version if entry.dist else "?")
            try:
                plugin = entry.load()
            except (Exception, SystemExit) as error:  # noqa: BLE001  whatever a stranger's module does on import
                self._skip(listed, error)
            else:
                self._add(listed, plugin)
        for number, plugin in enumerate(plugins):
            self._add(Listed(f"{getattr(plugin, '__name__', type(plugin).__name__)}-{number}", "(given)", "-"), plugin)

    def formats(self, files: Sequence[str | Path] = ()) -> list[Format]:
        """All formats: those of ``files`` and of the user's configuration, those of plugins, the built-in ones.

        A plugin that fails to give its own is named in a PluginWarning and left out. Raises BadFormat for a file that cannot be used.
        """
        from ra_sdk.formats import user_formats

        given = [form for implementation in self._implementations("ra_sdk_formats") for form in _formats_of(implementation)]
        return [*user_formats(files), *given]

    def masks(self) -> list[Mask]:
        """The user's masks: those of ``masks.toml``, then those of plugins. Raises BadOption for a file that cannot be used.

        A plugin whose masks cannot be used is named in a PluginWarning, and they are left out.
        """
        from ra_sdk.templates.own_masks import configured

        return [*configured(), *(mask for implementation in self._implementations("ra_sdk_masks") for mask in _masks_of(implementation))]

    def knowledge(self, files: Sequence[str | Path] = ()) -> list[Entry]:
        """The user's knowledge: of ``files`` and of the configuration, then that of plugins. Raises BadKnowledge for a file that cannot be used.

        A plugin whose entries cannot be used is named in a PluginWarning, and they are left out.
        """
        from ra_sdk.knowledge import users

        given = self._implementations("ra_sdk_knowledge")
        return [*users(files), *(entry for implementation in given for entry in _knowledge_of(implementation))]

    def open_source(self, source: object, options: Mapping[str, Any], column: str | None = None) -> Source:
        """A source from a path, a URL, or what Python has in memory; ``column`` is of a frame. Raises SourceError, UsageError."""
        if isinstance(source, list | tuple) and source and all(isinstance(each, os.PathLike) for each in source):
            source = Sources(*source)
        if isinstance(source, Sources):
            return self._joined(source, options)
        found: Any = sources.as_source(source, column)
        if found is None:
            url = os.fsdecode(source) if isinstance(source, os.PathLike) else str(source)
            if isinstance(source, os.PathLike) and (url == "-" or sources.SCHEME.match(url)):
                url = f"./{url}"  # a path is a path, whatever it looks like
            found = self._ask("ra_sdk_open_source", SourceError, "name identity live __iter__ acknowledge close", url=url, options=options)
        if found is None:
            raise self._unknown(str(source), "source", ["file", "stdin"])
        return cast("Source", found)

    def _joined(self, given: Sources, options: Mapping[str, Any]) -> Source:
        with ExitStack() as stack:
            opened = [stack.enter_context(closing(self.watched(self.open_source(each, options)))) for each in given]
            stack.pop_all()
        return JoinedSource(opened)

    def open_sink(self, url: str, options: Mapping[str, Any]) -> Sink:
        """A sink from a URL. Raises SinkError, UnknownScheme."""
        found = self._ask("ra_sdk_open_sink", SinkError, "name write close", url=url, options=options)
        if found is None:
            raise self._unknown(url, "sink", ["jsonl"])
        return cast("Sink", found)

    def watched(self, thing: Any) -> Any:
        """A source or sink, with the name of its plugin in the errors that it raises while it works. What no plugin opened is left as it is."""
        from ra_sdk.watched import watched

        plugin = self._makers.get(id(thing))
        return thing if plugin is None else watched(thing, plugin)

    def open_listener(self, url: str, options: Mapping[str, Any]) -> Listener:
        """Another address of the service, from a URL. Raises WorldError, UnknownScheme, BadOption."""
        found = self._ask("ra_sdk_open_listener", WorldError, "url start close", url=url, options=options)
        if found is None:
            raise UnknownScheme(f"{url!r} cannot be listened on: no installed plugin knows this scheme; for OTLP, pip install ra-sdk-opentelemetry")
        return cast("Listener", found)

    def open_reasoner(self, model: object, options: Mapping[str, Any]) -> Reasoner:
        """The reasoner of ``model=``. An object with ``judge()`` is one. Raises ModelError, BadOption."""
        if model is not None and not isinstance(model, str | Path):
            if not callable(getattr(model, "judge", None)):
                raise BadOption(f"model {model!r} has no judge(); give a path, a name, or an object with judge(templates, mode)")
            return cast("Reasoner", model if hasattr(model, "digest") else _Named(model))
        name = None if model is None else str(model)
        found = self._ask("ra_sdk_open_reasoner", ModelError, "name digest judge", model=name, options=options)
        if found is None:
            raise ModelError(f"no plugin opens the model {model!r}; give the path of a GGUF file")
        return cast("Reasoner", found)

    def listing(self) -> list[Listed]:
        """What was found, the skipped ones with their error."""
        return list(self._listed)

    def _add(self, listed: Listed, plugin: object) -> None:
        """Register a plugin with all its hooks, or skip it."""
        name = listed.name
        if self._manager.has_plugin(name):
            self._skip(listed, ValueError("another plugin has this name"))
            return
        try:
            if (stated := getattr(plugin, "RA_SDK_API", API)) != API:
                raise ValueError(f"it is written for API {stated!r}, and this version has {API}; install versions that fit")
            self._manager.register(plugin, name=name)
            self._manager.check_pending()
            callers = self._manager.get_hookcallers(plugin) or []
            if not callers:
                raise ValueError("it marks no function with ra_sdk.hookimpl")
            if any(hook.wrapper or hook.hookwrapper for caller in callers for hook in caller.get_hookimpls() if hook.plugin is plugin):
                raise ValueError("it wraps the hooks of others, which is not supported")
        except Exception as error:  # noqa: BLE001  a plugin's attributes may do anything when they are looked at
            if self._manager.get_plugin(name) is plugin:
                self._manager.unregister(name=name)
            self._skip(listed, error)
            return
        self._listed.append(listed._replace(hooks=tuple(sorted(caller.name for caller in callers))))

    def _skip(self, listed: Listed, error: BaseException) -> None:
        self._listed.append(listed._replace(error=_reason(error)))
        whose = f"plugin {listed.name!r} of {listed.distribution} {listed.version}"
        warnings.warn(f"{whose} is skipped: {_reason(error)}; repair or uninstall it, or leave it out with RA_PLUGINS", PluginWarning, stacklevel=4)

    def _implementations(self, hook: str) -> list[pluggy.HookImpl]:
        """Who implements a hook, in the order in which they are asked: who came last first, but for those that ask to be last."""
        return [*reversed(getattr(self._manager.hook, hook).get_hookimpls())]

    def _ask(self, hook: str, otherwise: type[RaError], parts: str, **arguments: Any) -> Any:
        """The first answer that is not None. What a plugin does wrong becomes one of our errors, and names it.

        The hooks are called one by one, not by pluggy, which would not say whose fault an exception is.
        """
        what = arguments.get("url", arguments.get("model"))
        for implementation in self._implementations(hook):
            try:
                found = implementation.function(*(arguments[name] for name in implementation.argnames))
            except RaError:
                raise
            except OSError as error:  # the system's word, not a mistake in the plugin
                name = implementation.plugin_name
                why = f"{error.strerror or error} (plugin {name!r})"
                raise otherwise(f"{what!r} cannot be opened: {why}; check the place and its permissions") from error
            except Exception as error:
                why = f"plugin {implementation.plugin_name!r} failed with {error!r}"
                raise otherwise(f"{what!r} cannot be opened: {why}; report it to its authors") from error
            if found is None:
                continue
            if missing := _missing(found, parts):
                why = f"what plugin {implementation.plugin_name!r} opened has no {', '.join(missing)}"
                raise otherwise(f"{what!r} cannot be opened: {why}; report it to its authors")
            self._remember(found, implementation.plugin_name)
            return found
        return None

    def _remember(self, found: object, plugin: str) -> None:
        if any(listed.name == plugin and listed.distribution == OWN for listed in self._listed):
            return
        with suppress(TypeError):  # a few kinds of objects cannot be told apart from later ones
            weakref.finalize(found, self._makers.pop, id(found), None).atexit = False
            self._makers[id(found)] = plugin

    def _unknown(self, url: str, kind: str, builtin: Sequence[str]) -> UnknownScheme:
        """The error for a URL that no plugin opens. By convention a plugin has the name of its scheme."""
        scheme, hook = url.split(":")[0], f"ra_sdk_open_{kind}"
        broken = next((f"; plugin {scheme!r} is skipped: {p.error}" for p in self._listed if p.error and p.name == scheme), "")
        known = [*builtin, *(p.name for p in self._listed if hook in p.hooks and p.distribution != OWN)]
        near = difflib.get_close_matches(scheme, known, 1)
        hint = f"did you mean {near[0]}:? " if near else ""
        names = ", ".join(f"{name}:" for name in known)
        return UnknownScheme(f"no plugin opens the {kind} {url!r}{broken}; {hint}known are {names}; `ra plugins` lists what is installed")


class _Named:
    """Gives a bare object with ``judge()`` the name and digest that a reasoner has."""

    def __init__(self, inner: Any) -> None:
        self.name = self.digest = getattr(inner, "name", None) or f"{type(inner).__module__}.{type(inner).__qualname__}"
        self.judge = inner.judge


def _entries() -> list[EntryPoint]:
    """The plugins of installed distributions, as far as ``RA_PLUGINS`` lets them in."""
    entries = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    allowed = os.environ.get("RA_PLUGINS")
    if allowed is None:
        return entries
    names = {name.strip() for name in allowed.split(",")} - {""}
    if missing := names - {entry.name for entry in entries}:
        warnings.warn(f"RA_PLUGINS names {', '.join(sorted(missing))}, which is not installed; see ra plugins", PluginWarning, stacklevel=3)
    return [entry for entry in entries if entry.name in names]


def _formats_of(implementation: pluggy.HookImpl) -> list[Format]:
    try:
        forms: Any = implementation.function()
        found = list(forms or ())
        if missing := [name for form in found for name in _missing(form, "name has unwrap" if hasattr(form, "unwrap") else "name has bodies fields")]:
            raise TypeError(f"a format has no {', '.join(missing)}")
    except Exception as error:  # noqa: BLE001
        warnings.warn(f"the formats of plugin {implementation.plugin_name!r} are left out: {_reason(error)}", PluginWarning, stacklevel=4)
        return []
    return found


def _masks_of(implementation: pluggy.HookImpl) -> list[Mask]:
    from ra_sdk.templates.own_masks import checked

    try:
        pairs: Any = implementation.function()
        return checked(pairs or (), f"plugin {implementation.plugin_name!r}")
    except Exception as error:  # noqa: BLE001
        warnings.warn(f"the masks of plugin {implementation.plugin_name!r} are left out: {_reason(error)}", PluginWarning, stacklevel=4)
        return []


def _knowledge_of(implementation: pluggy.HookImpl) -> list[Entry]:
    from ra_sdk.knowledge import made

    where = f"plugin {implementation.plugin_name!r}"
    try:
        given: Any = implementation.function()
        return [made(fields, where) for fields in given or ()]
    except Exception as error:  # noqa: BLE001
        warnings.warn(f"the knowledge of {where} is left out: {_reason(error)}", PluginWarning, stacklevel=4)
        return []


def _missing(thing: object, parts: str) -> list[str]:
    return [name for name in parts.split() if not hasattr(thing, name)]


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
