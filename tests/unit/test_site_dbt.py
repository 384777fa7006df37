"""dbt in the model: its database and its role in the site's server, or a server of its own."""

from typing import Any

from airstrip_imagined import PLACED, imagined
from ansible_collections.airstrip.core.plugins.module_utils.site_checks import problems
from ansible_collections.airstrip.core.plugins.module_utils.site_model import Site
from ansible_collections.airstrip.core.plugins.module_utils.site_views import fact

WITH = PLACED | {"dbt": ["worker1", "ops"]}


def site(placed: dict[str, Any] = WITH, **variables: Any) -> Site:
    return imagined(placed, tls_enabled=True, **variables)


def test_a_site_without_dbt_has_nothing_of_it() -> None:
    found = fact(site(PLACED))
    assert found["placed"]["dbt"] == []
    assert "dbt" not in found["budget"]["by_login"]
    assert [row["name"] for row in found["databases"]] == ["airflow", "airflow_results"]
    assert found["monitoring_roles"] == []


def test_its_database_and_role_are_in_the_site_s_server() -> None:
    found = fact(site(dbt_connections=4))
    assert {"name": "analytics", "owner": "dbt"} in found["databases"]
    assert {"name": "dbt", "connection_limit": 8} in found["monitoring_roles"]
    assert found["budget"]["by_login"]["dbt"] == 8
    address = found["hosts"]["store"]["address"]
    here = {"host": address, "port": 5432, "tls": True, "external": False}
    assert found["hosts"]["worker1"]["dbt_database"] == here
    clients = [row for row in found["hosts"]["store"]["clients"]["postgresql"] if row.get("user") == "dbt"]
    assert {row["database"] for row in clients} == {"analytics"}
    assert len(clients) == 2
    assert problems(site()) == []


def test_a_server_of_its_own_is_not_the_site_s() -> None:
    given: dict[str, Any] = {"dbt_database_host": "warehouse.example.com", "dbt_database_port": 5433}
    found = fact(site(**given))
    assert "dbt" not in found["budget"]["by_login"]
    assert "analytics" not in [row["name"] for row in found["databases"]]
    assert not [row for row in found["hosts"]["store"]["clients"]["postgresql"] if row.get("user") == "dbt"]
    there = {"host": "warehouse.example.com", "port": 5433, "tls": True, "external": True}
    assert found["hosts"]["ops"]["dbt_database"] == there
    assert found["hosts"]["ops"]["roles"]["before_airflow"] == ["dbt"]


def test_its_name_and_role_can_be_others() -> None:
    found = fact(site(dbt_database_name="dwh", dbt_database_user="transformer"))
    assert {"name": "dwh", "owner": "transformer"} in found["databases"]
