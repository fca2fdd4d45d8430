"""What a request is for, in words that a model can judge: the kind of its path, without host and query."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

__all__ = ["KINDS", "described", "unreadable"]

KINDS = (  # pattern of a path in lower case -> what it is; the first that matches
    (r"(?:^|[/._-])health(?:z|y|check|_check|-check)?(?:[/.]|$)", "health check"),
    (r"(?:^|/)(?:livez?|liveness|readyz?|readiness|heartbeat|ping|alive|up)(?:[/.]|$)", "health check"),
    (r"^/(?:server-)?status(?:[/.]|$)|/actuator/(?:health|info)|/(?:nginx|stub|basic)_status", "health check"),
    (r"(?:^|/)metrics(?:/|$)|/actuator/prometheus", "metrics"),
    (r"(?:^|/)(?:wp-admin|wp-login\.php|admin(?:istrator|er)?(?:\.php)?|phpmyadmin|manager/html|cpanel|webadmin)(?:/|$)", "admin path"),
    (
        (
            r"\.(?:css|m?js|map|png|jpe?g|gif|svg|webp|avif|ico|bmp|woff2?|ttf|otf|eot|mp[34]|webm|ogg|pdf|zip|gz|tgz|rar|7z|txt|csv|"
            r"webmanifest|wasm)$|/(?:static|assets)/"
        ),
        "static file",
    ),
    (r"(?:^|/)(?:api|apis|rest|graphql|rpc|jsonrpc|grpc|v\d{1,2})(?:[/.]|$)|\.json$|^/[\w.]+\.[A-Za-z]\w*/\w+$", "API path"),
)


def described(urls: pl.Expr) -> pl.Expr:
    """URLs or paths as ``KIND PATH``, without scheme, host, query and fragment; a URL that holds no path stays as it is."""
    import polars as pl

    path = urls.str.replace(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", "").str.replace(r"[?#;].*$", "")
    path = pl.when(path == "").then(pl.lit("/")).otherwise(path)
    lower = path.str.to_lowercase()
    kind: pl.Expr = pl.lit("page")
    for pattern, name in reversed(KINDS):
        kind = pl.when(lower.str.contains(pattern)).then(pl.lit(name)).otherwise(kind)
    kind = pl.when(path.str.starts_with("/")).then(kind).otherwise(pl.lit("target"))
    return kind + " " + path


_TLS = r"^(?:\\x16\\x03|\\x80[^\n]{0,12}\\x01\\x03|\x16\x03)"  # how a handshake begins (RFC 8446, 5.1), escaped by the server
_JUNK = r"(?:\\x[0-9A-Fa-f]{2}|\\u[0-9A-Fa-f]{4}|\\[0abfnrtv]|[^ -~])+"
_SHOWN = 60  # characters of what was sent


def unreadable(sent: pl.Expr) -> pl.Expr:
    """In words, what a client sent instead of a request, without bytes that are not text."""
    import polars as pl

    shown = sent.str.replace_all(_JUNK, "...").str.slice(0, _SHOWN)
    bad, tls = pl.lit("bad request"), pl.lit("TLS handshake on a plain HTTP port")
    words = pl.when(shown.is_in(["", "-", "..."])).then(bad).otherwise(bad + ' "' + shown + '"')
    return pl.when(sent.str.contains(_TLS)).then(tls).otherwise(words).fill_null(bad)
