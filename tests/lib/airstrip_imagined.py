"""Sites that are only imagined, for tests of the model: hosts and values, as an inventory would give them."""

from collections.abc import Mapping, Sequence
from typing import Any

from airstrip_registry import declared, registry
from ansible_collections.airstrip.core.plugins.module_utils.site_inventory import Inventory
from ansible_collections.airstrip.core.plugins.module_utils.site_model import Site
from hypothesis import strategies as st

# One database and broker, one host with what controls, two with workers.
PLACED = {
    "postgresql": ["store"],
    "redis": ["store"],
    "airflow_api_server": ["control"],
    "airflow_scheduler": ["control"],
    "airflow_dag_processor": ["control"],
    "airflow_triggerer": ["control"],
    "airflow_worker": ["worker2", "worker1"],
}
BALANCED = PLACED | {"load_balancer": ["edge1", "edge2"], "airflow_api_server": ["control", "edge1"]}
ALONE = {group: ["vm"] for group in PLACED if group not in ("redis", "airflow_worker")}

_HOSTS = [f"host-{number}" for number in range(6)]


def facts(number: int, name: str, **more: Any) -> dict[str, Any]:
    """Return what a host says of itself."""
    names = {"fqdn": f"{name}.example.com", "hostname": name, "nodename": name}
    numbers = {"memtotal_mb": 65536, "processor_vcpus": 2, "default_ipv4": {"address": f"10.0.0.{number}"}}
    return names | numbers | more


def inventory(
    placed: Mapping[str, Sequence[str]],
    variables: Mapping[str, Any] | None = None,
    hosts: Mapping[str, Mapping[str, Any]] | None = None,
    said: Mapping[str, Mapping[str, Any]] | None = None,
) -> Inventory:
    """Return an inventory: its groups, variables of all hosts, variables of some, and facts of some."""
    names = list(dict.fromkeys(host for members in placed.values() for host in members))
    own, told = hosts or {}, said or {}
    given = {name: {**(variables or {}), **own.get(name, {})} for name in names}
    said_by = {name: told.get(name, facts(n, name)) for n, name in enumerate(names, 1)}
    return Inventory(names, {"all": names, **placed}, given, said_by)


def imagined(placed: Mapping[str, Sequence[str]], **variables: Any) -> Site:
    """Return the site of an inventory with variables of all hosts, without their prefix."""
    given = {f"site_{name}": value for name, value in variables.items()}
    return inventory(placed, given).site(registry(), declared())


@st.composite
def sites(draw: st.DrawFn) -> Site:
    """Return a random site."""
    groups = [*BALANCED]
    placed = {group: draw(st.lists(st.sampled_from(_HOSTS), max_size=4, unique=True)) for group in groups}
    executor = draw(st.sampled_from(["CeleryExecutor", "LocalExecutor", "LocalExecutor,CeleryExecutor"]))
    virtual_address = draw(st.sampled_from(["", "10.0.0.100"]))
    return imagined({"spare": _HOSTS, **placed}, executor=executor, virtual_address=virtual_address)
