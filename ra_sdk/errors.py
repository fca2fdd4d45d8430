"""The error tree: faults of the environment, and faults of the call.

    RaError
    ├── WorldError              a fault of the environment: trying again, or elsewhere, may help
    │   ├── SourceError         a source cannot be opened or read
    │   ├── SinkError           a sink cannot be opened or written
    │   ├── ModelError          a model is missing, broken or too small for the work
    │   └── StoreError          a verdict store or state file cannot be used
    └── UsageError (ValueError) a fault of the call: the call has to change
        ├── UnknownFormat       no log format has this name
        ├── UnknownScheme       no plugin opens URLs of this scheme
        ├── BadRecord           an item of an iterable is not a log record
        ├── BadFormat           a file of formats cannot be used as it is
        ├── BadKnowledge        a file of knowledge cannot be used as it is
        ├── BadOption           an option has an invalid value
        └── Closed              a detector, model or store is used after it was closed

Every message names the value, the reason and the remedy.
"""

from __future__ import annotations

__all__ = [
    "BadFormat",
    "BadKnowledge",
    "BadOption",
    "BadRecord",
    "Closed",
    "ModelError",
    "RaError",
    "SinkError",
    "SourceError",
    "StoreError",
    "UnknownFormat",
    "UnknownScheme",
    "UsageError",
    "WorldError",
]


class RaError(Exception):
    """Root of every error that ``ra_sdk`` raises on purpose."""


class WorldError(RaError):
    """The cause is outside the program; trying again, or elsewhere, may help."""


class SourceError(WorldError):
    """A source cannot be opened or read."""


class SinkError(WorldError):
    """A sink cannot be opened or written."""


class ModelError(WorldError):
    """A model is missing, broken or too small for the work."""


class NotInstalled(ModelError):
    """The packages that bring a model, or what runs it, are not installed."""


class StoreError(WorldError):
    """A verdict store or a state file cannot be used."""


class UsageError(RaError, ValueError):
    """The call cannot work as it was made."""


class UnknownFormat(UsageError):
    """No log format has this name."""


class UnknownScheme(UsageError):
    """No plugin opens URLs of this scheme."""


class BadRecord(UsageError):
    """An item of an iterable is not a log record."""


class BadFormat(UsageError):
    """A file of formats cannot be used as it is."""


class BadKnowledge(UsageError):
    """A file of knowledge cannot be used as it is."""


class BadOption(UsageError):
    """An option has an invalid value."""


class Closed(UsageError, RuntimeError):
    """A detector, model or store is used after it was closed."""
