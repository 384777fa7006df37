"""Filters: how people log in, as settings of Flask-AppBuilder and as packages of the release, and what is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pprint import pformat
from typing import Any

from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_mapping
from ansible_collections.airstrip.core.plugins.plugin_utils.identity_checks import ldap_problems, oauth_problems
from ansible_collections.airstrip.core.plugins.plugin_utils.identity_settings import ldap, providers

# flask_appbuilder.const
_AUTH_LDAP, _AUTH_OAUTH = 2, 4
_WIDTH = 100


def identity_settings(ldap_given: object, oauth_given: object, role: str, ca_bundle: str) -> dict[str, str]:
    """
    Return the settings of Flask-AppBuilder by which people log in, each as an expression in Python; none for none.

    Example: `airflow_ldap | identity_settings(airflow_oauth_providers, 'Public', '/etc/ca.crt')`. Raises
    AnsibleFilterError on other types.
    """
    if ldap_given:
        found = _ldap(ldap(ldap_given)) | {"AUTH_LDAP_TLS_CACERTFILE": ca_bundle}
    elif oauth_given:
        found = _oauth(providers(oauth_given))
    else:
        return {}
    always = {
        "AUTH_USER_REGISTRATION": True,
        "AUTH_USER_REGISTRATION_ROLE": role,
        # Else a role that comes by a group would outlast it.
        "AUTH_ROLES_SYNC_AT_LOGIN": True,
    }
    return {name: value if isinstance(value, _Code) else _literal(value) for name, value in (found | always).items()}


class _Code(str):
    """An expression in Python, and no text."""


def _literal(value: object) -> str:
    # By JSON, which leaves nothing of Ansible's own types.
    return pformat(json.loads(json.dumps(value)), width=_WIDTH, sort_dicts=False)


def _ldap(given: dict[str, Any]) -> dict[str, Any]:
    return {
        "AUTH_TYPE": _AUTH_LDAP,
        "AUTH_LDAP_SERVER": " ".join(given["servers"]),
        "AUTH_LDAP_USE_TLS": given["start_tls"],
        "AUTH_LDAP_TLS_DEMAND": True,
        "AUTH_LDAP_BIND_USER": given["bind_user"],
        "AUTH_LDAP_BIND_PASSWORD": _Code('credential("ldap_bind_password")'),
        "AUTH_LDAP_SEARCH": given["search_base"],
        "AUTH_LDAP_SEARCH_FILTER": given["user_filter"],
        "AUTH_LDAP_UID_FIELD": given["user_field"],
        "AUTH_LDAP_GROUP_FIELD": given["group_field"],
        "AUTH_LDAP_USE_NESTED_GROUPS_FOR_ROLES": given["nested_groups"],
        "AUTH_LDAP_FIRSTNAME_FIELD": given["first_name_field"],
        "AUTH_LDAP_LASTNAME_FIELD": given["last_name_field"],
        "AUTH_LDAP_EMAIL_FIELD": given["email_field"],
        # As identity.py compares them.
        "AUTH_ROLES_MAPPING": {
            re.sub(r"\s*([,=])\s*", r"\1", group).lower(): roles for group, roles in given["roles"].items()
        },
    }


def _oauth(given: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "AUTH_TYPE": _AUTH_OAUTH,
        "OAUTH_PROVIDERS": _Code(
            f'with_secrets({_literal([_provider(row) for row in given])}, credential("oauth_client_secrets"))'
        ),
        "AUTH_ROLES_MAPPING": {
            f"{row['name']}:{group}": roles for row in given for group, roles in row["roles"].items()
        },
    }


def _provider(row: dict[str, Any]) -> dict[str, Any]:
    """Return a provider without its secret."""
    found = {
        "name": row["name"],
        "icon": row["icon"],
        "token_key": "access_token",
        # For identity.py.
        "claims": {key: row[key] for key in ("username_claim", "username_prefix", "groups_claim", "ask_userinfo")},
        "remote_app": {
            "client_id": row["client_id"],
            "server_metadata_url": row["metadata_url"],
            "client_kwargs": {"scope": " ".join(row["scopes"]), "code_challenge_method": "S256"},
        },
    }
    # Patterns, of which FAB looks for the end.
    whitelist = [f"@{re.escape(domain)}" for domain in row["email_domains"]]
    return found | ({"whitelist": whitelist} if whitelist else {})


def identity_packages(lock: str) -> list[str]:
    """
    Return the packages of a lock as pip's requirements, each in one line with its hashes.

    Example: `lookup('ansible.builtin.file', 'oauth.txt') | identity_packages`.
    """
    lines = re.sub(r"\\\n\s*", "", lock).splitlines()
    return [line.strip() for line in lines if re.match(r"[a-z]", line)]


def identity_problems(given: object) -> list[str]:
    """
    List what is wrong with the people's logins, one message each.

    `given` is a mapping with `here` (whether the host asks for it), `ldap` (site_ldap), `oauth`
    (site_oauth_providers), `role` (site_login_role), `roles` (names of those that there are), `secrets` (names in
    airflow_oauth_client_secrets), `config` (airflow_webserver_config), `python` (airflow_release_python), `packages`
    (airflow_release_extra_packages), and `seen`, what the module identity_look returns, or none. Raises
    AnsibleFilterError on other types.
    """
    people = as_mapping(given, "identity_problems: the settings")
    if not people["here"] or not (people["ldap"] or people["oauth"]):
        return []
    return list(_together(people)) + list(ldap_problems(people)) + list(oauth_problems(people))


def _together(people: dict[str, Any]) -> Iterator[str]:
    if people["ldap"] and people["oauth"]:
        yield "site_ldap and site_oauth_providers are both set, and Airflow logs people in by one of them. Remove one."
    if re.search(r"^\s*(AUTH_TYPE|SECURITY_MANAGER_CLASS)\s*=", str(people["config"]), re.MULTILINE):
        yield (
            "airflow_webserver_config sets AUTH_TYPE or SECURITY_MANAGER_CLASS, which follow from site_ldap or "
            "site_oauth_providers. Keep one of them: take the lines out, or empty the variables."
        )
    if people["role"] not in people["roles"]:
        yield f"site_login_role is {people['role']!r}, and there is no such role. {_known(people['roles'])}"


def _known(roles: list[str]) -> str:
    return f"Choose one of {', '.join(sorted(roles))}, or declare it in airflow_roles."


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {
            "identity_packages": identity_packages,
            "identity_problems": identity_problems,
            "identity_settings": identity_settings,
        }
