"""Role postgresql, through a client on the controller and through the server's own catalogues."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
import testinfra
from airstrip_site import Site
from postgresql_sizing import postgresql_sizing

ONE_HOST = re.compile(r"\d+(\.\d+){3}/32|[0-9a-f:]+/128")


RESULTS = ["airflow_results", "airflow_results_reader"]


def query(host: Any, sql: str, database: str = "postgres") -> list[list[str]]:
    """Return the rows of a query, which the server's administrator runs on the host."""
    shown = host.run(f"runuser -u postgres -- psql -XAt -F '\t' -c \"{sql}\" {database}")
    assert shown.rc == 0, shown.stderr
    return [line.split("\t") for line in shown.stdout.splitlines()]


def setting(host: Any, name: str) -> str:
    return query(host, f"SHOW {name}")[0][0]


def connect(port: int, user: str, password: str, database: str, address: str = "127.0.0.1") -> None:
    """Log in and out; raise psycopg2.OperationalError if the server refuses."""
    psycopg2.connect(
        host=address, port=port, user=user, password=password, dbname=database, connect_timeout=15
    ).close()  # fmt: skip


@pytest.fixture(scope="module")
def port(site: Site, inventory_hostname: str) -> Iterator[int]:
    """A port of the controller that leads to the server's loopback address, or to its address where it has none."""
    target = site.address(inventory_hostname) if site.is_shared else "127.0.0.1"
    with site.tunnel(inventory_hostname, 5432, target) as local:
        yield local


def test_listens_where_the_topology_needs_it(host: Any, site: Site, inventory_hostname: str) -> None:
    assert host.socket(f"tcp://{site.address(inventory_hostname)}:5432").is_listening == site.is_shared


def test_cluster_has_checksums_and_utf8(host: Any) -> None:
    assert setting(host, "data_checksums") == "on"
    assert setting(host, "server_encoding") == "UTF8"
    databases = query(host, "SELECT datname, pg_encoding_to_char(encoding) FROM pg_database")
    assert {encoding for _, encoding in databases} == {"UTF8"}


def test_passwords_are_scram_verifiers(host: Any) -> None:
    assert setting(host, "password_encryption") == "scram-sha-256"
    roles = query(
        host, "SELECT rolname, coalesce(rolpassword, '') LIKE 'SCRAM-SHA-256\\$%' FROM pg_authid WHERE rolcanlogin"
    )
    assert ["airflow", "t"] in roles
    assert [name for name, verifier in roles if verifier != "t"] == ["postgres"]


def test_roles_have_no_privileges_beyond_login(host: Any) -> None:
    powerful = query(
        host,
        "SELECT rolname FROM pg_roles WHERE rolcanlogin"
        " AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls)",
    )
    assert powerful == [["postgres"]]


def test_access_list_names_hosts_and_roles_one_by_one(host: Any, site: Site) -> None:
    rules = query(
        host,
        "SELECT type, array_to_string(database, ','), array_to_string(user_name, ','), address || '/' || netmask,"
        " auth_method, error FROM pg_hba_file_rules",
    )
    assert rules[0] == ["local", "all", "postgres", "", "peer", ""]
    assert rules[1:]
    for kind, database, user, address, method, error in rules[1:]:
        assert (kind, method, error) == ("hostssl" if site.is_shared else "host", "scram-sha-256", "")
        assert address.endswith(("/255.255.255.255", "/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))
        assert not {database, user} & {"all", "postgres", "template1", "sameuser", "samerole", "replication"}


def test_access_list_is_what_the_server_uses(host: Any) -> None:
    path = setting(host, "hba_file")
    lines = [line.split() for line in host.file(path).content_string.splitlines() if line.startswith("host")]
    assert lines
    assert all(ONE_HOST.fullmatch(line[3]) for line in lines)
    assert len({tuple(line) for line in lines}) == len(lines)
    assert host.check_output(f"stat -c '%U %a' {path}") == "postgres 640"


def test_configuration_is_closed_to_others(host: Any) -> None:
    directory = setting(host, "hba_file").rpartition("/")[0]
    assert host.check_output(f"find {directory} -name '*.conf'").count("\n") >= 4
    assert host.check_output(f"find {directory} -not -type l -perm /o=rwx") == ""
    assert host.check_output(f"find {directory} -not -user postgres") == ""


def test_tools_of_the_distribution_work(host: Any) -> None:
    directory = setting(host, "hba_file").rpartition("/")[0]
    version = directory.split("/")[-2]
    assert host.check_output("pg_lsclusters --no-header").split()[:5] == [version, "main", "5432", "online", "postgres"]
    assert host.check_output(f"pg_conftool {version} main show port") == "port = 5432"
    # Who may not read the configuration sees no cluster, and no error.
    assert host.run("setpriv --reuid=nobody --regid=nogroup --clear-groups pg_lsclusters").rc == 0


def test_airflow_logs_in_with_its_password(site: Site, port: int) -> None:
    if site.is_shared:
        # A forwarded connection comes from the host itself, which is no client; the components prove this case.
        with pytest.raises(psycopg2.OperationalError, match=r"no pg_hba\.conf entry"):
            connect(port, "airflow", site.secrets["airflow_database_password"], "airflow")
    else:
        connect(port, "airflow", site.secrets["airflow_database_password"], "airflow")


@pytest.mark.parametrize("password", ["airflow", "", "wrong" * 5])
def test_other_passwords_are_refused(port: int, password: str) -> None:
    with pytest.raises(psycopg2.OperationalError, match=r"no pg_hba|authentication failed|no password supplied"):
        connect(port, "airflow", password, "airflow")


@pytest.mark.parametrize(
    ("user", "secret", "database"),
    [
        ("airflow", "airflow_database_password", "postgres"),
        ("airflow", "airflow_database_password", "template1"),
        ("airflow_results", "airflow_results_database_password", "airflow"),
        ("postgres", "airflow_database_password", "postgres"),
        ("postgres", "airflow_database_password", "airflow"),
    ],
)
def test_who_is_not_listed_is_refused(site: Site, port: int, user: str, secret: str, database: str) -> None:
    with pytest.raises(psycopg2.OperationalError, match=r"no pg_hba\.conf entry"):
        # Without Celery there is no password for the results, nor a role.
        connect(port, user, site.secrets.get(secret, "none"), database)


@pytest.mark.only_in("distributed")
def test_controller_is_refused_as_airflow(site: Site, inventory_hostname: str) -> None:
    with pytest.raises(psycopg2.OperationalError, match=r"no pg_hba\.conf entry"):
        connect(5432, "airflow", site.secrets["airflow_database_password"], "airflow", site.address(inventory_hostname))


@pytest.mark.only_in("distributed")
@pytest.mark.parametrize("name", ["app", "analytics"])
def test_application_uses_its_own_database(site: Site, inventory_hostname: str, name: str) -> None:
    arguments: dict[str, Any] = {
        "host": site.address(inventory_hostname), "port": 5432, "user": name, "connect_timeout": 15,
        "password": site.secrets[f"postgresql_role_{name}"], "sslmode": "verify-full",
        "sslrootcert": str(site.ca_certificate),
    }  # fmt: skip
    connection = psycopg2.connect(**arguments, dbname=name)
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE proof (id int)")
        cursor.execute("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()")
        assert cursor.fetchone() == (name,)
    connection.close()
    with pytest.raises(psycopg2.OperationalError, match=r"no pg_hba\.conf entry"):
        connect(5432, name, site.secrets[f"postgresql_role_{name}"], "airflow", site.address(inventory_hostname))


def test_databases_are_closed_to_other_roles(host: Any, site: Site) -> None:
    rows = query(host, "SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE NOT datistemplate")
    owners = {name: owner for name, owner in rows if name != "postgres"}
    celery = bool(site.group("airflow_worker"))
    assert {"airflow": "airflow"} | ({"airflow_results": "postgres"} if celery else {}) == {
        name: owner for name, owner in owners.items() if name.startswith("airflow")
    }
    allowed = query(
        host,
        "SELECT datname, rolname FROM pg_database, pg_roles WHERE NOT datistemplate AND datname <> 'postgres'"
        " AND rolcanlogin AND NOT rolsuper AND has_database_privilege(rolname, datname, 'CONNECT')",
    )
    # Celery's results are neither their writers' nor their readers'.
    users = {name: [owner] for name, owner in owners.items()} | {"airflow_results": RESULTS if celery else []}
    assert sorted(allowed) == sorted([database, user] for database in owners for user in users[database])


@pytest.mark.only_in("single_node", "single_node_bookworm", "distributed")
def test_results_are_read_as_states_alone(host: Any) -> None:
    query(host, "INSERT INTO celery_taskmeta (id, task_id, result) VALUES (-3, 'airstrip', 'x')", "airflow_results")
    asked = "SELECT count(*), count(result) FROM celery_taskmeta WHERE id = -3"
    as_reader = "SET ROLE airflow_results_reader; SET search_path = scheduler, public"
    seen = query(host, f"{as_reader}; {asked}", "airflow_results")[-1]
    there = query(host, asked, "airflow_results")[0]
    query(host, "DELETE FROM celery_taskmeta WHERE id = -3", "airflow_results")
    assert (seen, there) == (["1", "0"], ["1", "1"])


@pytest.mark.only_in("single_node", "single_node_bookworm", "distributed")
def test_tasks_cannot_take_the_connections_of_others(host: Any) -> None:
    limit = query(host, "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'airflow_results'")[0][0]
    assert 0 < int(limit) <= int(setting(host, "max_connections")) - 50


@pytest.mark.only_in("single_node", "single_node_bookworm")
def test_old_results_go_by_themselves(host: Any) -> None:
    insert = "INSERT INTO celery_taskmeta (id, task_id, created) VALUES"
    query(host, f"{insert} (-1, 'airstrip-old', now() - interval '2 days')", "airflow_results")
    query(host, f"{insert} (-2, 'airstrip-new', now())", "airflow_results")
    left = query(host, "SELECT task_id FROM celery_taskmeta WHERE id < 0", "airflow_results")
    query(host, "DELETE FROM celery_taskmeta WHERE id < 0", "airflow_results")
    assert left == [["airstrip-new"]]


def number(text: str) -> float:
    """Return a setting's value, a size in kB: the server chooses a unit of its own to show it."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(kB|MB|GB|)", text)
    assert found is not None, text
    return float(found[1]) * {"": 1, "kB": 1, "MB": 1024, "GB": 1024**2}[found[2]]


def facts(site: Site, hostname: str) -> dict[str, Any]:
    shown = site.command(
        "ansible", hostname, "--one-line", "-m", "ansible.builtin.setup", "-a", "gather_subset=!all,hardware"
    )
    found: dict[str, Any] = json.loads(shown.stdout.partition("=>")[2])["ansible_facts"]
    return found


def worker_concurrency(host: Any) -> int:
    """Return the slots of the first worker of a host, by its unit."""
    shown = host.run("systemctl show 'airflow-worker@*' --property=ExecStart").stdout
    found = re.search(r"--concurrency (\d+)", shown)
    return int(found[1]) if found else 0


def test_connections_suffice_for_all_pools(host: Any, site: Site) -> None:
    # By SQLAlchemy's defaults, a pool opens 5 connections and 10 more; an API server's process has two.
    needed = sum(2 * 15 * site.variable(name, "site_api_server_workers") for name in site.group("airflow_api_server"))
    needed += 16 * len(site.group("airflow_scheduler"))
    needed += 15 * len(site.group("airflow_dag_processor") + site.group("airflow_triggerer"))
    for name in site.group("airflow_worker"):
        slots = worker_concurrency(testinfra.get_host(site.connection(name)))
        needed += len(site.variable(name, "site_workers")) * (slots + 1)
    assert needed > 0
    assert int(setting(host, "max_connections")) - int(setting(host, "superuser_reserved_connections")) >= needed


def test_settings_are_as_computed_and_in_force(host: Any, site: Site, inventory_hostname: str) -> None:
    found = facts(site, inventory_hostname)
    share = 4 if inventory_hostname in site.group("airflow") else 1
    computed = postgresql_sizing(
        {
            "memory_mb": found["ansible_memtotal_mb"] // share,
            "cores": found["ansible_processor_vcpus"],
            "version": int(setting(host, "server_version_num")) // 10000,
            "disk": "ssd",
        },
        int(setting(host, "max_connections")),
    )
    assert "shared_buffers" in computed
    in_force = {name: number(setting(host, name)) for name in computed}
    assert in_force == {name: number(str(value)) for name, value in computed.items()}
    assert query(host, "SELECT name FROM pg_settings WHERE pending_restart") == []
    assert query(host, "SELECT name FROM pg_file_settings WHERE error IS NOT NULL") == []
