"""What is wrong with the variables by which people log in, and with what the servers of them said."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.airstrip.core.plugins.module_utils.addresses import server
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_list, as_mapping
from ansible_collections.airstrip.core.plugins.plugin_utils.identity_settings import LDAP, PROVIDER, ldap, providers

_HERE = ("localhost", "127.0.0.1", "::1")
_SYSTEM_PYTHON = "/usr/bin/python3"
# RFC 4514, loosely: attribute=value, by commas, with escapes.
_RDN = r"[A-Za-z][\w.-]* *= *(?:[^,\\]|\\.)+"
_DN = re.compile(rf"{_RDN}(?:,\s*{_RDN})*\Z")
_NAME = re.compile(r"[a-z0-9_-]+\Z")
_DOMAIN = re.compile(r"[A-Za-z0-9.-]+\Z")
_WELL_KNOWN = "/.well-known/openid-configuration"
_METADATA = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")


def ldap_problems(people: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with site_ldap; nothing if it is not set."""
    if not people["ldap"]:
        return
    if shape := list(_shape(as_mapping(people["ldap"], "site_ldap"), LDAP, "site_ldap")):
        yield from shape
        return
    given = ldap(people["ldap"])
    yield from _servers(given)
    for key in ("bind_user", "search_base"):
        # Active Directory takes user@domain as well.
        if not _DN.match(str(given[key])) and not (key == "bind_user" and "@" in str(given[key])):
            yield f"site_ldap.{key} is {given[key]!r}, which is no DN. Write it as ou=people,dc=example,dc=com."
    condition = str(given["user_filter"])
    if condition and not (condition[0] + condition[-1] == "()" and condition.count("(") == condition.count(")")):
        yield f"site_ldap.user_filter is {condition!r}, which is no filter. Write it as (objectClass=person)."
    for group in as_mapping(given["roles"], "site_ldap.roles"):
        if not _DN.match(group):
            yield f"site_ldap.roles: {group!r} is no DN of a group. Write it as cn=admins,ou=groups,dc=example,dc=com."
    yield from _roles(given["roles"], "site_ldap.roles", people)
    # Debian has no wheel of it elsewhere, and a host has no compiler.
    if people["python"] != _SYSTEM_PYTHON and not any("python-ldap" in str(name) for name in people["packages"]):
        yield (
            f"site_ldap needs python-ldap, which the system has for {_SYSTEM_PYTHON} alone, and airflow_release_python "
            f"is {people['python']}. Set that back, or provide a wheel and name it in airflow_release_extra_packages."
        )
    yield from (problem for row in people["seen"].get("ldap", []) for problem in _directory(row))


def _servers(given: Mapping[str, Any]) -> Iterator[str]:
    for url in as_list(given["servers"], "site_ldap.servers") or [""]:
        scheme, found = urlsplit(str(url)).scheme, server(url)
        if scheme not in ("ldap", "ldaps") or not found or urlsplit(str(url)).path:
            yield f"site_ldap.servers: {url!r} names no directory. Write it as ldaps://ldap.example.com."
        elif scheme == "ldap" and not given["start_tls"] and found[0] not in _HERE:
            yield (
                f"site_ldap.servers: passwords would go to {url} in the clear. Write it as ldaps://{found[0]}, or set "
                "site_ldap.start_tls."
            )
        elif scheme == "ldaps" and given["start_tls"]:
            yield f"site_ldap.start_tls is set, and {url} speaks TLS from the start. Remove it, or write ldap://."


def _directory(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a directory said on being asked, as the module identity_look returns it."""
    url, error = row["url"], row["error"]
    remedy = {
        "connection": "Correct site_ldap.servers, or open the way to it.",
        "tls": "Give the certificate of its authority in base_ca_certificates, or name the server as its own does.",
        "login": "Correct site_ldap.bind_user and airflow_ldap_bind_password.",
        "search": "Correct site_ldap.search_base, or let site_ldap.bind_user read there.",
    }
    if error:
        what = {"connection": "does not answer", "tls": "cannot be trusted", "login": "lets the bind user not in"}
        found = what.get(row["stage"], "cannot be searched")
        yield f"site_ldap.servers: {url} {found}: {error}. {remedy[row['stage']]}"
    for group, there in row["groups"].items():
        if not there:
            yield (
                f"site_ldap.roles: {url} shows no group {group} to the bind user. Correct the DN, or let "
                "site_ldap.bind_user read there."
            )


def oauth_problems(people: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with site_oauth_providers; nothing if there are none."""
    rows = [as_mapping(row, "each of site_oauth_providers") for row in people["oauth"]]
    shape = [
        problem for row in rows for problem in _shape(row, PROVIDER, f"site_oauth_providers: {row.get('name', '?')}")
    ]
    if shape:
        yield from shape
        return
    given = providers(rows)
    for row in given:
        yield from _provider(row, people)
    for key, what in (("name", "name"), ("username_prefix", "username_prefix")):
        values = [row[key] for row in given]
        for value in sorted({value for value in values if values.count(value) > 1}):
            yield (
                f"site_oauth_providers: two have the {what} {value!r}, so that people of both would be the same ones. "
                "Give each one of its own."
            )
    yield from (problem for row in people["seen"].get("oauth", []) for problem in _metadata(row))


def _provider(row: Mapping[str, Any], people: Mapping[str, Any]) -> Iterator[str]:
    what = f"site_oauth_providers: {row['name']}"
    if not _NAME.match(str(row["name"])):
        yield f"{what}: the name stands in URLs. Use small letters, digits, '_' and '-'."
    if row["name"] not in people["secrets"]:
        yield f"{what} has no secret. Give it in airflow_oauth_client_secrets."
    parts = urlsplit(str(row["metadata_url"]))
    if not parts.hostname or (parts.scheme != "https" and parts.hostname not in _HERE):
        yield f"{what}: metadata_url is {row['metadata_url']!r}. Write it as https://idp.example.com{_WELL_KNOWN}."
    if "openid" not in as_list(row["scopes"], f"{what}: scopes"):
        yield f"{what}: scopes are without openid, so nobody says who the person is. Add it."
    for domain in as_list(row["email_domains"], f"{what}: email_domains"):
        if not _DOMAIN.match(str(domain)):
            yield f"{what}: email_domains has {domain!r}. Write it as example.com."
    yield from _roles(row["roles"], f"{what}: roles", people)


def _metadata(row: Mapping[str, Any]) -> Iterator[str]:
    what, url, metadata = f"site_oauth_providers: {row['name']}", row["url"], row["metadata"]
    if row["error"]:
        yield (
            f"{what}: {url} does not answer with metadata: {row['error']}. Correct metadata_url, open the way to it, "
            "or give the certificate of its authority in base_ca_certificates."
        )
    elif missing := [key for key in _METADATA if not metadata.get(key)]:
        yield f"{what}: what {url} answers has no {missing[0]}, and is no metadata of OpenID Connect. Correct it."
    elif f"{str(metadata['issuer']).rstrip('/')}{_WELL_KNOWN}" != url:
        yield (
            f"{what}: the metadata of {url} is that of the issuer {metadata['issuer']}. Set metadata_url to that and "
            f"{_WELL_KNOWN}."
        )


def _shape(given: Mapping[str, Any], known: Mapping[str, Any], what: str) -> Iterator[str]:
    if unknown := sorted(set(given) - set(known)):
        yield f"{what}: there is no {unknown[0]}. Known are {', '.join(known)}."
    for key, default in known.items():
        if default is None and not given.get(key):
            yield f"{what}: {key} is missing. Set it (docs/identity.md)."
        wanted = list if key == "servers" else type("" if default is None else default)
        if given.get(key) is not None and not isinstance(given[key], wanted):
            yield f"{what}: {key} is {given[key]!r}. Write a {_WORDS[wanted]}."


_WORDS = {str: "text", bool: "truth value (true or false)", list: "list", dict: "mapping"}


def _roles(mapping: Mapping[str, Any], variable: str, people: Mapping[str, Any]) -> Iterator[str]:
    if not mapping and people["role"] == "Public":
        yield f"{variable} is empty, and site_login_role is Public: nobody might do anything. Set one of them."
    for group, roles in mapping.items():
        if not isinstance(roles, Sequence) or isinstance(roles, str):
            yield f"{variable}: {group} has {roles!r}. Write a list of roles."
            continue
        for role in roles:
            if role not in people["roles"]:
                yield (
                    f"{variable}: {group} has {role!r}, and there is no such role. Choose one of "
                    f"{', '.join(sorted(people['roles']))}, or declare it in airflow_roles."
                )
