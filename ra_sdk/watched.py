"""Sources and sinks of plugins, watched while they work: what goes wrong in them is told with the plugin's name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from ra_sdk.errors import RaError, SinkError, SourceError
from ra_sdk.hookspecs import Preparing

__all__ = ["watched"]


def watched(thing: Any, plugin: str) -> Any:
    """A source or sink as it is, but for its mistakes, which become SourceError or SinkError."""
    return _PreparingSink(thing, plugin) if isinstance(thing, Preparing) else _Watched(thing, plugin)


class _Watched:
    def __init__(self, inner: Any, plugin: str) -> None:
        self._inner, self._plugin = inner, plugin
        is_sink = hasattr(inner, "write")
        self._error: type[RaError] = SinkError if is_sink else SourceError
        self._failing = "cannot be written" if is_sink else "cannot be read"

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return self._guarded(found) if callable(found) else found

    def __iter__(self) -> Iterator[Any]:
        with self._blaming():
            yield from self._inner

    def _guarded(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*args: Any, **options: Any) -> Any:
            with self._blaming():
                return method(*args, **options)

        return call

    @contextmanager
    def _blaming(self) -> Iterator[None]:
        try:
            yield
        except RaError:
            raise
        except OSError as error:  # the system's word, not a mistake in the plugin
            why = f"{error.strerror or error} (plugin {self._plugin!r})"
            raise self._error(f"{self._inner.name!r} {self._failing}: {why}; check the place and its permissions") from error
        except Exception as error:
            why = f"plugin {self._plugin!r} failed with {error!r}"
            raise self._error(f"{self._inner.name!r} {self._failing}: {why}; report it to its authors") from error


class _PreparingSink(_Watched):
    """Has in its class what ``Preparing`` is recognised by."""

    def prepare(self, detections: Any) -> Any:
        """As the sink's."""
        return self._guarded(self._inner.prepare)(detections)

    def write_prepared(self, prepared: Any) -> None:
        """As the sink's."""
        self._guarded(self._inner.write_prepared)(prepared)
