"""What may be declared of stores of secrets: of a site's own (site_secrets_source), and of Airflow's backends."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

VAULTS, CLOUDS = ("vault", "openbao"), ("aws_ssm", "aws_secrets_manager")
# What a login by each method has of its own. The secret of it stands elsewhere: these mappings may be shown.
LOGINS = {"approle": "role_id", "ldap": "username", "token": "", "userpass": "username"}
_SECRETS = frozenset(
    {"access_key", "aws_secret_access_key", "aws_session_token", "password", "secret_id", "secret_key"}
    | {"session_token", "token"}
)
_HERE = ("localhost", "127.0.0.1", "::1")
_VAULT = ("auth_mount_point", "auth_type", "ca_file", "kv_engine_version", "mount_point", "namespace", "plain_allowed")
_LOGIN = ("role_id", "username")
_CLOUD = ("endpoint_url", "plain_allowed")
# By variable and type: the keys that are required, and the others.
_SOURCE = ("generated", "paths")
SOURCES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    **dict.fromkeys(VAULTS, (("url",), (*_VAULT, *_LOGIN, *_SOURCE, "field", "path", "secret_file"))),
    "aws_secrets_manager": (("region_name",), (*_CLOUD, *_SOURCE, "field", "path", "profile_name")),
    "aws_ssm": (("region_name",), (*_CLOUD, *_SOURCE, "path", "profile_name")),
    "files": ((), (*_SOURCE, "path")),
}
_REQUIRED = ("required_connections", "required_variables")
_PREFIXES = ("connections_prefix", "variables_prefix")
BACKENDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    **dict.fromkeys(
        VAULTS, (("url",), (*_VAULT, *_LOGIN, *_REQUIRED, "connections_path", "options", "variables_path"))
    ),
    **dict.fromkeys(
        CLOUDS, (("region_name",), (*_CLOUD, *_PREFIXES, "access_key_id", "ca_file", "options", "role_arn"))
    ),
    "local_files": ((), ()),
}


def _near(name: str, known: Iterator[str] | tuple[str, ...]) -> str:
    found = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean {found[0]}?" if found else ""


def _login(given: Mapping[str, Any], variable: str, place: str) -> Iterator[str]:
    """Yield what is wrong with a login; `place` says where its secret belongs."""
    method = str(given.get("auth_type", "token"))
    if method not in LOGINS:
        yield f"{variable}.auth_type is {method!r}. Set it to one of {', '.join(LOGINS)}."
    elif LOGINS[method] and not given.get(LOGINS[method]):
        yield f"{variable}.{LOGINS[method]} is not set, and a login by {method} needs it. The secret of it {place}."
    if given.get("kv_engine_version", 2) not in (1, 2):
        yield f"{variable}.kv_engine_version is {given['kv_engine_version']!r}. Set it to 1 or 2, as the engine has it."


def _url(given: Mapping[str, Any], key: str, variable: str) -> Iterator[str]:
    try:
        parts = urlsplit(str(given[key]))
        host, scheme, _ = parts.hostname, parts.scheme, parts.port
    except ValueError:
        host, scheme = None, ""
    if scheme not in ("http", "https") or not host:
        yield f"{variable}.{key} is no URL that names a server. Write it as https://secrets.example.com:8200."
    elif parts.username or parts.password:
        yield f"{variable}.{key} has a user or a password in it, which everybody would see. Take them out."
    elif scheme == "http" and host not in _HERE and given.get("plain_allowed") is not True:
        yield (
            f"{variable}.{key} is {given[key]}: login and secrets would go to {host} in the clear. Use https, or set "
            "plain_allowed to true in it if that is meant."
        )


def store_problems(
    declared: Mapping[str, Any], variable: str, kinds: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]], place: str
) -> Iterator[str]:
    """Yield what is wrong with the declaration of a store, by the name of its variable and what its types have."""
    given = {str(key): value for key, value in declared.items()}
    kind = str(given.get("type", ""))
    if kind not in kinds:
        found = repr(kind) if kind else "not set"
        yield f"{variable}.type is {found}. Set it to one of {', '.join(kinds)}.{_near(kind, tuple(kinds))}"
        return
    required, optional = kinds[kind]
    known = ("type", *required, *optional)
    for name in given:
        if name in _SECRETS:
            yield f"{variable}.{name} is a secret, and that variable is shown. Take it out; it {place}."
        elif name not in known:
            yield f"{variable}.{name} is unknown to the type {kind}.{_near(name, known)} Known: {', '.join(known)}."
    yield from (
        f"{variable}.{name} is not set, and the type {kind} needs it." for name in required if not given.get(name)
    )
    for key in ("url", "endpoint_url"):
        if given.get(key):
            yield from _url(given, key, variable)
    if kind in VAULTS:
        yield from _login(given, variable, place)
    for name in _SECRETS & set(given["options"] if isinstance(given.get("options"), Mapping) else ()):
        yield f"{variable}.options.{name} is a secret, and that variable is shown. Take it out; it {place}."
