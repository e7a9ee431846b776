"""Turns a DSN into an entry of DATABASES."""

from urllib.parse import parse_qs, unquote, urlsplit


def databases_entry(dsn: str) -> dict[str, object]:
    """Returns the DATABASES entry of a URL like postgres://user:password@host:port/name?host=/run/postgresql."""
    parts = urlsplit(dsn)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "postgres",
        "USER": unquote(parts.username or "") or query.get("user", "postgres"),
        "PASSWORD": unquote(parts.password or "") or query.get("password", ""),
        "HOST": query.get("host") or parts.hostname or "",
        "PORT": str(parts.port or query.get("port", "")),
    }
