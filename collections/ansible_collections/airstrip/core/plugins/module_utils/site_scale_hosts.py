"""Of sets of workers that follow the load: between how many hosts each is, for a program that makes them."""

from __future__ import annotations

from ansible_collections.airstrip.core.plugins.module_utils.site_model import Site
from ansible_collections.airstrip.core.plugins.module_utils.site_scale import scale_of_set


def scaled_hosts(site: Site, host: str) -> dict[str, dict[str, int]]:
    """Return each set with `scale` by name: `min` and `max` hosts, `per_host` instances, and `present`, its hosts.

    On the first monitoring host alone: two that call the program would ask for the same hosts twice.
    """
    if host not in site.placed.get("prometheus", [])[:1]:
        return {}
    found = {}
    for name, rows in site.scaled.items():
        scale = scale_of_set(rows)
        each = scale.get("per_host", 1)
        # Rounded up, both.
        fewest, most = (-(-scale[key] // each) for key in ("min", "max"))
        found[name] = {"min": fewest, "max": most, "per_host": each, "present": len(rows)}
    return found
