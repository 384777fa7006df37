"""
Connection URIs with every part quoted, after RFC 3986, for SQLAlchemy, Celery and Kombu.

Kombu decodes all parts. SQLAlchemy decodes user, password and query; the database name only since 2.1
(SQLAlchemy 2.0.46, 2.0.54 and 2.1.9 and Kombu 5.7 compared), so that a database name has to do without quoting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

_PARTS = ("scheme", "user", "password", "host", "port", "path", "query")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*\Z")
_HOST = re.compile(r"[A-Za-z0-9_.-]+\Z")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\Z")
_LAST_PORT = 65535


def _text(parts: Mapping[str, Any], name: str) -> str:
    """Return a part as text, empty if absent. Messages leave the value out: it may be a password."""
    value = parts.get(name)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(f"connection_uri: '{name}' must be a string, found {type(value).__name__}; quote it")
    return str(value)


def _is_sql(scheme: str) -> bool:
    return scheme.startswith("db+") or scheme.partition("+")[0] in ("postgresql", "postgres")


def _scheme(parts: Mapping[str, Any]) -> str:
    scheme = _text(parts, "scheme")
    if not _SCHEME.match(scheme):
        raise ValueError(f"connection_uri: 'scheme' must be like postgresql+psycopg2 or redis, found '{scheme}'")
    dialect, _, driver = scheme.removeprefix("db+").partition("+")
    if dialect == "postgres" or (dialect == "postgresql" and not driver):
        raise ValueError(
            f"connection_uri: scheme '{scheme}' names no driver, and SQLAlchemy's default depends on its version; "
            "write postgresql+psycopg2 or db+postgresql+psycopg2"
        )
    return scheme


def _login(parts: Mapping[str, Any]) -> str:
    user, password = quote(_text(parts, "user"), safe=""), quote(_text(parts, "password"), safe="")
    if password:
        return f"{user}:{password}@"
    return f"{user}@" if user else ""


def _location(parts: Mapping[str, Any]) -> str:
    host, port = _text(parts, "host"), _text(parts, "port")
    if _IPV6.match(host):
        host = f"[{host}]"
    elif host and not _HOST.match(host):
        raise ValueError(f"connection_uri: 'host' must be a name or an address, found '{host}'")
    if not port:
        return host
    if not host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= _LAST_PORT:
        raise ValueError(f"connection_uri: 'port' must be between 1 and {_LAST_PORT} and needs a host, found '{port}'")
    return f"{host}:{int(port)}"


def _path(parts: Mapping[str, Any], scheme: str) -> str:
    path = _text(parts, "path")
    quoted = quote(path, safe="")
    if _is_sql(scheme) and quoted != path:
        raise ValueError(
            f"connection_uri: SQLAlchemy 2.0 cannot read the database name '{path}' from a URI; "
            "use letters, digits, '_', '-', '.' and '~'"
        )
    return f"/{quoted}" if quoted else ""


def _query(parts: Mapping[str, Any]) -> str:
    query = parts.get("query")
    if query is None:
        return ""
    if not isinstance(query, Mapping):
        raise ValueError(f"connection_uri: 'query' must be a mapping, found {type(query).__name__}")
    given = {str(name): _text({str(name): value}, str(name)) for name, value in query.items() if value is not None}
    return f"?{urlencode(given, quote_via=quote, safe='')}" if given else ""


def connection_uri(parts: object) -> str:
    """
    Compose a connection URI; any character may stand in user, password and query, and in a broker's path.

    Example: `{'scheme': 'redis', 'user': 'airflow', 'password': 'a/b', 'host': '::1', 'path': 0} | connection_uri`
    gives `redis://airflow:a%2Fb@[::1]/0`. The path is written without its leading slash. Absent, null and empty
    parts are left out. Raises ValueError on an unknown part, a PostgreSQL scheme without driver, a database
    name that needs quoting, a bad host or port, and wrong types.
    """
    if not isinstance(parts, Mapping):
        raise ValueError(f"connection_uri: the parts must be a mapping, found {type(parts).__name__}")
    given = {str(name): value for name, value in parts.items()}
    if unknown := sorted(set(given) - set(_PARTS)):
        raise ValueError(f"connection_uri: unknown part '{unknown[0]}'; known are {', '.join(_PARTS)}")
    scheme = _scheme(given)
    location = _location(given)
    path = _path(given, scheme) or ("/" if not location else "")
    return f"{scheme}://{_login(given)}{location}{path}{_query(given)}"
