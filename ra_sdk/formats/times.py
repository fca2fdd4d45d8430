"""Times as logs write them -> Datetime (us, UTC), by columns. What cannot be read, or no clock has shown, is null."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ra_sdk.formats.patterns import FRAGMENTS, ZONES, ascii_classes

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Times", "any_times", "epoch_of", "iso_times", "reader"]

Times = Callable[["pl.Series", datetime], "pl.Series"]
EARLIEST = datetime(1970, 1, 1, tzinfo=timezone.utc)
LATEST = datetime(2262, 1, 1, tzinfo=timezone.utc)  # the nanoseconds since 1970 of a later time do not fit in 64 bits
_FORMS = (  # what ``any`` reads: pattern, strptime form
    (r"^\d{4}[-/.]\d\d[-/.]\d\d-\d\d\.\d\d\.\d\d", "%Y-%m-%d-%H.%M.%S%.f"),
    (r"^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d [\d:.,]+ \d{4}$", "%a %b %d %H:%M:%S%.f %Y"),
    (r"^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d [\d:.,]+ [+-]\d{4} \d{4}$", "%a %b %d %H:%M:%S%.f %z %Y"),
    (r"^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d [\d:.,]+ [A-Z]{3,4} \d{4}$", "%a %b %d %H:%M:%S%.f %Z %Y"),
    (r"^[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} [\d:.,]+$", "%a, %d %b %Y %H:%M:%S%.f"),
    (r"^[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} [\d:.,]+ ", "%a, %d %b %Y %H:%M:%S%.f %Z"),
    (r"^[A-Z][a-z]{2} +\d{1,2},? \d{4},? [\d:.,]+ [AP]M$", "%b %d %Y %I:%M:%S%.f %p"),
    (r"^[A-Z][a-z]{2} +\d{1,2},? \d{4},? [\d:.,]+ [AP]M ", "%b %d %Y %I:%M:%S%.f %p %Z"),
    (r"^[A-Z][a-z]{2} +\d{1,2},? \d{4},? [\d:.,]+$", "%b %d %Y %H:%M:%S%.f"),
    (r"^[A-Z][a-z]{2} +\d{1,2},? \d{4},? [\d:.,]+ ?[A-Z+-]", "%b %d %Y %H:%M:%S%.f %Z"),
    (r"^[A-Z][a-z]{2} +\d{1,2} [\d:.,]+$", "%b %d %H:%M:%S%.f"),
    (r"^\d{1,2}[-/ ][A-Z][a-z]{2}[-/ ]\d{4}[ :T][\d:.,]+$", "%d-%b-%Y %H:%M:%S%.f"),
    (r"^\d{1,2}[-/ ][A-Z][a-z]{2}[-/ ]\d{4}[ :T]", "%d-%b-%Y %H:%M:%S%.f %Z"),
    (r"^\d\d?\.\d\d?\.\d{4}[ T][\d:.,]+$", "%d.%m.%Y %H:%M:%S%.f"),
    (r"^\d\d?/\d\d?/\d{4},?[ T][\d:.,]+ [AP]M$", "%m/%d/%Y %I:%M:%S%.f %p"),
    (r"^(?:\d|0\d|1[0-2])/\d\d?/\d{4},?[ T][\d:.,]+$", "%m/%d/%Y %H:%M:%S%.f"),
    (r"^\d\d/\d\d/\d\d [\d:.,]+$", "%y/%m/%d %H:%M:%S%.f"),
    (r"^\d{8}[T -]\d\d:\d\d:\d\d", "%Y%m%d %H:%M:%S%.f"),
    (r"^\d{8}[T -]\d{6}$", "%Y%m%d %H%M%S"),
)
_DIRECTIVES = {  # what a directive of strptime stands for
    **dict.fromkeys("aAbB", r"[^\W\d]+"),
    **dict.fromkeys("deHIMSmjy", r"\s?\d+"),
    "Y": r"\d{4}",
    "f": r"\d+",
    "p": "[APap][Mm]",
    "z": r"[+-]\d\d:?\d\d",
    "Z": r"([A-Za-z][A-Za-z0-9/_+-]*|[+-]\d\d:?\d\d)",
    "s": r"\d+",
}


def reader(form: str) -> Times:
    """The reader of a ``time`` of the registry: iso, any, epoch, epoch_ms, boot, or a strptime form."""
    named = {"iso": iso_times, "any": any_times, "epoch": _epochs, "epoch_ms": _epochs, "boot": _nothing}
    if form in named:
        return named[form]
    if "%" not in form:
        raise ValueError(f"`time` must be one of {', '.join(named)}, or a strptime form such as '%d/%b/%Y:%H:%M:%S %z'")
    return _stamps(form)


def within(times: pl.Series) -> pl.Series:
    """The times, without those that no clock shows and that other programs cannot take."""
    import polars as pl

    name = times.name or "timestamp"
    column = pl.col(name)
    return times.alias(name).to_frame().select(pl.when(column.is_between(EARLIEST, LATEST)).then(column)).to_series()


def iso_times(texts: pl.Series, now: datetime) -> pl.Series:  # noqa: ARG001
    """ISO 8601 and its relatives, with or without zone (then UTC)."""
    import polars as pl

    parts = texts.str.extract_groups(_ISO_PARTS).struct.unnest()
    date = pl.col("date").str.replace_all("[/.]", "-")
    text = date + " " + pl.col("clock") + "." + pl.col("part").fill_null("0")
    parsed = text.str.to_datetime("%Y-%m-%d %H:%M:%S%.f", strict=False, time_unit="us")
    if parts["zone"].str.contains(r"\d|[A-Y]").any():
        digits = pl.col("zone").str.strip_chars(" ").replace(ZONES).str.replace_all(r"[^\d+-]", "")
        hours, rest = (digits.str.slice(at, 2).cast(pl.Int64, strict=False) for at in (1, 3))
        minutes = hours * 60 + rest.fill_null(0)
        signed = pl.when(digits.str.starts_with("-")).then(-minutes).otherwise(minutes).fill_null(0)
        parsed = parsed - pl.duration(minutes=signed)
    return within(parts.select(parsed.dt.replace_time_zone("UTC").alias("timestamp")).to_series())


_ISO_PARTS = ascii_classes(
    r"^(?P<date>\d{4}[-/.]\d\d[-/.]\d\d)[T ](?P<clock>\d\d:\d\d:\d\d)(?:[.,](?P<part>\d{1,6})\d*)?"
    rf"(?P<zone>{FRAGMENTS['ZONE']}?)$"
)


def any_times(texts: pl.Series, now: datetime) -> pl.Series:
    """Times in any of the usual spellings."""
    found = iso_times(texts, now)
    for pattern, form in _FORMS:
        left = found.is_null() & texts.str.contains(ascii_classes(pattern)).fill_null(value=False)
        if left.any():
            found = found.scatter(left.arg_true(), _stamps(form)(_uniform(texts.filter(left), form), now))
        if not found.null_count():
            return found
    numbers = found.is_null() & texts.str.contains(r"^[0-9.,]+$").fill_null(value=False)
    return found.zip_with(~numbers, _epochs(texts.str.replace(",", ".", literal=True), now)) if numbers.any() else found


def _uniform(texts: pl.Series, form: str) -> pl.Series:
    """What the forms of ``any`` do not tell apart: separators, commas, a zone that touches the clock."""
    if form.startswith("%d-%b"):
        texts = texts.str.replace(ascii_classes(r"^(\d+)[-/ ]([A-Z][a-z]+)[-/ ](\d{4})[ :T]"), "${1}-${2}-${3} ")
    elif form.startswith("%Y-%m"):
        texts = texts.str.replace_all("/", "-", literal=True)
    elif form.startswith("%Y%m"):
        texts = texts.str.replace(ascii_classes(r"^(\d{8})[T -]"), "${1} ")
    elif form[:2] in ("%m", "%d"):
        texts = texts.str.replace(r",?[ T]", " ")
    elif form.startswith("%b"):
        texts = texts.str.replace_all(", ", " ", literal=True)
    return texts.str.replace(ascii_classes(r"(:\d\d(?:[.,]\d+)?)([A-Z+-])"), "${1} ${2}") if form.endswith("%Z") else texts


@lru_cache(256)
def _stamps(form: str) -> Times:
    """Times in one strptime form. Without a zone they are UTC; without a date there is no time."""
    dated = any(directive in form for directive in ("%d", "%e", "%j", "%D", "%F", "%s", "%x"))
    if not dated:
        return _nothing
    if not any(directive in form for directive in ("%Y", "%y", "%C", "%s", "%D", "%F", "%x", "%G")):
        return _yearless(form)

    def read(texts: pl.Series, now: datetime) -> pl.Series:  # noqa: ARG001
        spaced = _single_spaces(texts)
        if "%Z" in form:
            return within(_zoned(spaced, form))
        parsed = spaced.str.to_datetime(form, strict=False, time_unit="us")
        return within(parsed if "%z" in form else parsed.dt.replace_time_zone("UTC"))

    return read


def _single_spaces(texts: pl.Series) -> pl.Series:
    """Without the spaces that fill up a day of one digit, and with a point before a fraction."""
    texts = texts.str.replace_all(" {2,}", " ")
    return texts.str.replace(r"(:[0-9]{2}),([0-9])", "${1}.${2}")


def _zoned(texts: pl.Series, form: str) -> pl.Series:
    """Times whose zone is a name (CEST, Europe/Berlin) or an offset."""
    import polars as pl

    pieces = [_DIRECTIVES.get(part[1:].lstrip("369")[:1], r"(?:[.,]\d+)?") if part.startswith("%") else re.escape(part) for part in _parts(form)]
    zones = texts.str.extract(ascii_classes(f"^{''.join(pieces)}$"), 1)
    bare = form.replace(" %Z", "").replace("%Z", "")
    frame = pl.DataFrame({"text": texts, "zone": zones}).with_row_index("row")
    frame = frame.with_columns(text=frame["text"].str.replace(r" ?(?:" + "|".join(map(re.escape, _names(zones))) + r")( |$)", "${1}"))
    parts = []
    for (zone,), rows in frame.group_by("zone"):
        naive = rows["text"].str.to_datetime(bare, strict=False, time_unit="us")
        parts.append(pl.DataFrame({"row": rows["row"], "timestamp": _in_zone(naive, None if zone is None else str(zone))}))
    if not parts:
        return _nothing(texts, EARLIEST)
    return pl.concat(parts).sort("row").get_column("timestamp")


def _names(zones: pl.Series) -> list[str]:
    return sorted(zones.drop_nulls().unique().to_list(), key=len, reverse=True) or ["UTC"]


def _parts(form: str) -> list[str]:
    return [part for part in re.split(r"(%(?:\.|\d)?[A-Za-z])", form) if part]


def _in_zone(naive: pl.Series, zone: str | None) -> pl.Series:
    import polars as pl

    if zone is None:
        return _nothing(naive, EARLIEST)
    offset = re.fullmatch(r"([+-]\d\d):?(\d\d)", ZONES.get(zone, zone))
    if offset or "/" not in zone:
        minutes = int(offset[1]) * 60 + int(offset[1][0] + offset[2]) if offset else 0
        shifted: pl.Series = naive - timedelta(minutes=minutes)
        return shifted.dt.replace_time_zone("UTC")
    try:
        local: pl.Series = naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
    except pl.exceptions.ComputeError:  # a zone that nobody knows
        return _nothing(naive, EARLIEST)
    return local.dt.convert_time_zone("UTC")


def _yearless(form: str) -> Times:
    """Times without a year: the latest year that does not put them more than a day after ``now``."""

    def read(texts: pl.Series, now: datetime) -> pl.Series:
        single = _single_spaces(texts)
        latest = (now.replace(tzinfo=timezone.utc) if now.tzinfo is None else now.astimezone(timezone.utc)) + timedelta(days=1)
        found = _nothing(texts, now)
        for year in range(latest.year, latest.year - 9, -1):  # the 29th of February is eight years apart around 1900 and 2100
            dated = f"{year} " + single
            read = dated.str.to_datetime(f"%Y {form}", strict=False, time_unit="us").dt.replace_time_zone("UTC")
            found = found.zip_with(found.is_not_null() | (read > latest).fill_null(value=True), read)
            if year < latest.year and not (found.is_null() & single.str.contains("29", literal=True)).any():
                break
        return within(found)

    return read


def _epochs(texts: pl.Series, now: datetime) -> pl.Series:  # noqa: ARG001
    """Seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their size."""
    import polars as pl

    number = pl.col("number")
    frame = texts.cast(pl.Float64, strict=False).to_frame("number")
    scale = pl.when(number < 4e9).then(1e6).when(number < 4e12).then(1e3).when(number < 4e15).then(1.0).otherwise(1e-3)
    micros = pl.when((number > 1e8) & (number < 4e18)).then((number * scale).round()).cast(pl.Int64, strict=False)
    return within(frame.select(micros.cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("timestamp")).to_series())


def _nothing(texts: pl.Series, now: datetime) -> pl.Series:  # noqa: ARG001
    """No timestamp: seconds since the machine's start, a time of day without a date."""
    import polars as pl

    return pl.Series("timestamp", [None] * len(texts), dtype=pl.Datetime("us", "UTC"))


def epoch_of(value: object) -> datetime | None:
    """A number since the epoch in s, ms, us or ns, told apart by its size; None for anything else."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    if not math.isfinite(number) or not 1e8 < number < 4e18:
        return None
    while number > 4e9:  # seconds reach that in 2096
        number /= 1e3
    return EARLIEST + timedelta(microseconds=round(number * 1e6))


def times_of(values: list[Any], now: datetime) -> list[datetime | None]:
    """What decoded records have as their time: ISO texts, numbers since the epoch, MongoDB's {"$date": …} and loguru's {"timestamp": …}."""
    import polars as pl

    values = [value.get("$date", value.get("timestamp")) if isinstance(value, Mapping) else value for value in values]
    texts = [value if isinstance(value, str) and value.isprintable() else None for value in values]
    parsed = any_times(pl.Series(texts, dtype=pl.String), now)
    return [epoch_of(value) if stamp is None and value is not None else stamp for stamp, value in zip(parsed.to_list(), values)]
