"""Where a host sends the logs of tasks, if they are kept outside of the site."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.airstrip.core.plugins.module_utils.addresses import server
from ansible_collections.airstrip.core.plugins.module_utils.site_model import Site

_NAME = "remote_logs"
_REGION = "us-east-1"


def log_stores(site: Site, host: str) -> Iterator[dict[str, Any]]:
    """Yield the server to which a host's components send task logs: `component`, `service`, `variable`, `host`, `port`.

    None, if they reach it through a proxy.
    """
    programs = (site.components[name].airflow for name in site.placed_on(host))
    credentials = {
        named.name
        for program in programs
        if program
        for named in program.credentials
        if named.when.hold(site.variables)
    }
    found = server(_url(site.variables["site_remote_logs"]))
    if found and _NAME in credentials and not site.variables["site_https_proxy"]:
        names = {"component": _NAME, "service": _NAME, "variable": "site_remote_logs"}
        yield names | {"host": found[0], "port": found[1]}


def _url(store: dict[str, Any]) -> str:
    """Return the URL of the server: one's own, or that of the cloud."""
    url = urlsplit(str(store.get("url", "")))
    region = "".join(url.netloc.split(":")[3:4]) if url.scheme == "cloudwatch" else store.get("region", _REGION)
    clouds = {
        "s3": f"https://s3.{region}.amazonaws.com",
        "cloudwatch": f"https://logs.{region}.amazonaws.com",
        "gs": "https://storage.googleapis.com",
    }
    return str(store.get("endpoint_url") or clouds.get(url.scheme, ""))
