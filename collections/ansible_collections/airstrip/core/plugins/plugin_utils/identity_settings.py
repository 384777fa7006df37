"""How people log in: the keys of site_ldap and of site_oauth_providers, and what they are if nobody sets them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_list, as_mapping

# What has no value here, has to be given.
LDAP: dict[str, Any] = {
    "servers": None,
    "start_tls": False,
    "bind_user": None,
    "search_base": None,
    "user_field": "uid",
    "user_filter": "",
    "group_field": "memberOf",
    "nested_groups": False,
    "first_name_field": "givenName",
    "last_name_field": "sn",
    "email_field": "mail",
    "roles": {},
}
PROVIDER: dict[str, Any] = {
    "name": None,
    "client_id": None,
    "metadata_url": None,
    "scopes": ["openid", "email", "profile"],
    "username_claim": "preferred_username",
    "username_prefix": "",
    "groups_claim": "groups",
    "ask_userinfo": True,
    "email_domains": [],
    "icon": "fa-key",
    "roles": {},
}


def ldap(given: object) -> dict[str, Any]:
    """Return site_ldap with the values that nobody has set; raise AnsibleFilterError if it is no mapping."""
    return _filled(as_mapping(given, "site_ldap"), LDAP)


def providers(given: object) -> list[dict[str, Any]]:
    """Return site_oauth_providers in the same way."""
    rows = as_list(given, "site_oauth_providers")
    return [_filled(as_mapping(row, "each of site_oauth_providers"), PROVIDER) for row in rows]


def _filled(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given.get(name, default) for name, default in defaults.items()}
