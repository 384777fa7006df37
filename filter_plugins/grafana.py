"""Filters: the files of Grafana, from what the role grafana is told."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from ansible.errors import AnsibleFilterError

# What a section and a name may be: the rest would end them, or begin a comment.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]*")
# What Grafana's reader of such files would take for something else than a part of the value.
_SPECIAL = re.compile(r"""[#;"'`\\]|^\s|\s$""")


def _value(place: str, value: object) -> str:
    """Return a value as it stands in the file; raise AnsibleFilterError on one that cannot."""
    if isinstance(value, bool):
        return str(value).lower()
    text = "" if value is None else str(value)
    if isinstance(value, Mapping | list) or "\n" in text or "\r" in text:
        raise AnsibleFilterError(f"grafana_settings: {place} is to be a text of one line, a number, or true or false")
    if not _SPECIAL.search(text):
        return text
    if '"""' in text or text.endswith('"'):
        raise AnsibleFilterError(
            f"grafana_settings: {place} has quotation marks that Grafana's file cannot hold; put it into "
            "grafana_secret_files and name its file"
        )
    return f'"""{text}"""'


def grafana_ini(settings: Mapping[str, Mapping[str, Any]]) -> str:
    r"""
    Return settings by section and name as Grafana reads them from grafana.ini.

    Example: `{'server': {'http_port': 3000}} | grafana_ini` is "[server]\nhttp_port = 3000\n". Raises
    AnsibleFilterError, with the section and the name, on what such a file cannot hold.
    """
    parts = []
    for section, options in settings.items():
        if not isinstance(options, Mapping):
            raise AnsibleFilterError(f"grafana_settings: {section} is to be a mapping of names to values")
        for name in (section, *options):
            if not _NAME.fullmatch(str(name)):
                raise AnsibleFilterError(f"grafana_settings: {name!r} is no name of a section or a setting")
        lines = [f"{name} = {_value(f'{section}.{name}', value)}".rstrip() for name, value in options.items()]
        parts.append("\n".join([f"[{section}]", *lines]) + "\n")
    return "\n".join(parts)


def _escaped(text: object) -> str:
    """Return a text in which Grafana replaces no variable."""
    return str(text).replace("$", "$$")


def _is_here(url: str) -> bool:
    """Tell whether a URL leads to the host itself."""
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _source(server: Mapping[str, Any], number: int, interval: int) -> dict[str, Any]:
    """Return what Grafana is told of a server."""
    has_login, has_authority = bool(server.get("user")), bool(server.get("ca"))
    source: dict[str, Any] = {
        "name": _escaped(server["name"]),
        "uid": f"airstrip-prometheus-{number}",
        "type": "prometheus",
        "access": "proxy",
        "url": _escaped(server["url"]),
        "isDefault": number == 1,
        "editable": False,
        "jsonData": {"httpMethod": "POST", "timeInterval": f"{interval}s", "tlsAuthWithCACert": has_authority},
        "secureJsonData": {},
    }
    if has_login:
        source |= {"basicAuth": True, "basicAuthUser": _escaped(server["user"])}
        source["secureJsonData"]["basicAuthPassword"] = _escaped(server.get("password", ""))
    if has_authority:
        source["secureJsonData"]["tlsCACert"] = _escaped(server["ca"])
    return source


def grafana_data_sources(servers: Sequence[Mapping[str, Any]], interval: int) -> dict[str, Any]:
    """
    Return the data sources for Grafana's provisioning, from Prometheus servers and the seconds between two scrapes.

    Example: `grafana_prometheus_servers | grafana_data_sources(30)`. Raises AnsibleFilterError on a server without name
    or URL, and on two of one name.
    """
    for server in servers:
        if not server.get("name") or not str(server.get("url", "")).startswith(("http://", "https://")):
            raise AnsibleFilterError("grafana_prometheus_servers: each has `name`, and `url` with http:// or https://")
        if server.get("user") and str(server["url"]).startswith("http://") and not _is_here(str(server["url"])):
            raise AnsibleFilterError(
                f"grafana_prometheus_servers: {server['name']}: its password would go over the network in the clear; "
                "give its URL with https://"
            )
    names = [server["name"] for server in servers]
    if len(names) != len({*names}):
        raise AnsibleFilterError("grafana_prometheus_servers: two have the same name")
    sources = [_source(server, number, int(interval)) for number, server in enumerate(servers, 1)]
    return {"apiVersion": 1, "prune": True, "datasources": sources}


def grafana_site_servers(hosts: Sequence[Mapping[str, Any]], password: str, authority: str) -> list[dict[str, Any]]:
    """
    Return the site's own Prometheus servers as grafana_prometheus_servers has them.

    Example: `[{'name': 'vm1', 'address': '192.0.2.1', 'port': 9090}] | grafana_site_servers('...', '')`.
    """
    scheme = "https" if authority else "http"
    places = {
        str(host["name"]): f"[{host['address']}]" if ":" in str(host["address"]) else str(host["address"])
        for host in hosts
    }
    return [
        {"name": f"Prometheus {host['name']}", "url": f"{scheme}://{places[str(host['name'])]}:{host['port']}"}
        | {"user": "airstrip", "password": password}
        | ({"ca": authority} if authority else {})
        for host in hosts
    ]


def grafana_credential_files(credentials: Sequence[Mapping[str, str]], directory: str) -> list[dict[str, str]]:
    """
    Return the files of credentials, mappings with `name` and `password`, in a directory: with `path` and `content`.

    Example: `grafana_secret_files | grafana_credential_files('/etc/grafana/credentials')`. Raises AnsibleFilterError on
    a name that is not one of a file, and on two of one name.
    """
    files: dict[str, str] = {}
    for credential in credentials:
        name = str(credential.get("name", ""))
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name) or "password" not in credential:
            raise AnsibleFilterError(
                "grafana_secret_files: each has `password`, and `name` of letters, digits, _ and -"
            )
        if name in files:
            raise AnsibleFilterError(f"grafana_secret_files: {name} is there already")
        files[name] = str(credential["password"])
    return [{"path": f"{directory}/{name}", "content": content} for name, content in files.items()]


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {
            "grafana_credential_files": grafana_credential_files,
            "grafana_data_sources": grafana_data_sources,
            "grafana_ini": grafana_ini,
            "grafana_site_servers": grafana_site_servers,
        }
