"""Of sets of workers that follow the load: between how many hosts each is, for a program that makes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.airstrip.core.plugins.module_utils.site_model import Site


def scaled(site: Site, host: str) -> dict[str, dict[str, int]]:
    """Return each set with `scale` by name: `min` and `max` hosts, `instances_per_host`, and `present`, its hosts.

    On the first monitoring host alone: two that call the program would ask for the same hosts twice.
    """
    if host not in site.placed.get("prometheus", [])[:1]:
        return {}
    found: dict[str, dict[str, int]] = {}
    for worker_host in site.placed.get("worker", ()):
        for worker in site.instances("worker", worker_host):
            scale = worker.get("scale")
            name = str(worker.get("name") or "")
            if not name or not isinstance(scale, Mapping) or not _is_count(scale, "min", 0):
                continue
            each = scale.get("instances_per_host", 1)
            if not _is_count(scale, "max", 1) or not _is_count({"each": each}, "each", 1):
                continue
            # Rounded up, both.
            fewest, most = (-(-scale[key] // each) for key in ("min", "max"))
            own = found.setdefault(name, {"min": fewest, "max": most, "instances_per_host": each, "present": 0})
            own["present"] += 1
    return found


def _is_count(scale: Mapping[str, Any], key: str, least: int) -> bool:
    value = scale.get(key)
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
