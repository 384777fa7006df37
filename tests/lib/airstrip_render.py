"""The roles' variables and templates, evaluated by Ansible itself with the facts and secrets of an imagined host."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from airstrip_module import load
from airstrip_tree import PROJECT
from ansible._internal._templating._jinja_bits import (
    _TEMPLATE_OVERRIDE_FIELD_NAMES,
    AnsibleEnvironment,
    _TemplateCompileContext,
)
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import filter_loader, init_plugin_loader, lookup_loader
from ansible.template import Templar, trust_as_template
from ansible.utils.collection_loader import AnsibleCollectionConfig

# What Ansible finds out about a host, and what the wiring of an inventory computes from it.
FACTS: dict[str, Any] = {
    "default_ipv4": {"address": "192.0.2.1", "interface": "eth0"},
    "distribution": "Debian",
    "distribution_major_version": "13",
    "distribution_version": "13.2",
    "fqdn": "vm1.example.com",
    "hostname": "vm1",
    "memtotal_mb": 8192,
    "processor_vcpus": 4,
    "python_version": "3.13.5",
    "systemd": {"version": 257},
    "virtualization_type": "kvm",
}

# One value for each secret: recognisable wherever it turns up. The Fernet key is 32 bytes as URL-safe base64.
SECRETS = {
    "airflow_fernet_key": "c2VjcmV0LWZlcm5ldC1rZXktb2YtMzItYnl0ZXMtISE=",
    "airflow_jwt_secret": "secret-jwt-secret",
    "airflow_api_secret_key": "secret-api-secret-key",
    "airflow_session_secret_key": "secret-session-secret-key",
    "airflow_database_password": "secret-database-password",
    "airflow_results_database_password": "secret-results-password",
    "airflow_results_reader_password": "secret-results-reader-password",
    "airflow_broker_password": "secret-broker-password",
    "airflow_admin_password": "secret-admin-password",
    "airflow_api_server_certificate_key": "secret-api-server-certificate-key",
    "airflow_exporter_database_password": "secret-metrics-password",
    "alertmanager_smtp_password": "secret-smtp-password",
    "alertmanager_certificate_key": "secret-alertmanager-certificate-key",
    "certificates_ca_key": "secret-ca-key",
    "exporters_broker_password": "secret-monitor-password",
    "exporters_certificate_key": "secret-exporters-certificate-key",
    "exporters_database_password": "secret-statistics-password",
    "exporters_token": "secret-exporters-token",
    "prometheus_certificate_key": "secret-prometheus-certificate-key",
    "prometheus_exporters_token": "secret-exporters-token",
    "prometheus_password": "secret-monitoring-password",
    "postgresql_certificate_key": "secret-postgresql-certificate-key",
    "airflow_heal_database_password": "secret-metrics-password",
    "scale_hook_password": "secret-scale-hook-password",
    "worker_scale_password": "secret-worker-scale-password",
    "redis_certificate_key": "secret-redis-certificate-key",
    "airflow_remote_logs_key": "secret-remote-logs-key",
    "redis_airflow_password": "secret-broker-password",
    "redis_admin_password": "secret-redis-admin-password",
    "smoke_test_password": "secret-admin-password",
    "haproxy_certificate_key": "secret-certificate-key",
    "haproxy_internal_certificate_key": "secret-internal-certificate-key",
    "grafana_admin_password": "secret-grafana-admin-password",
    "grafana_secret_key": "secret-grafana-secret-key",
    "grafana_certificate_key": "secret-grafana-certificate-key",
    "dbt_database_password": "secret-dbt-password",
}

HOST: dict[str, Any] = {
    "inventory_hostname": "vm1",
    "ansible_facts": FACTS,
    "ansible_check_mode": False,
    "site_here": {"is_airflow": True, "certificates": {}, "own_certificates": [], "outside": []},
    "airflow_install_directory": "/opt/airflow",
    "airflow_version": "3.3.2",
    "airflow_proxy_environment": {},
    "airflow_database_host": "192.0.2.10",
    "airflow_migration_host": "host-1",
    "airflow_backup_controller_directory": "/inventory/.backups",
    "airflow_upgrade_present_release": "3.2.2-0123456789ab",
    "airflow_upgrade_component_hosts": {"api_server": ["host-1"], "dag_processor": ["host-1"], "scheduler": ["host-1"]},
    "airflow_adopt_component_hosts": {"postgresql": ["vm1"], "redis": ["vm1"]},
    "airflow_adopt_config": "/home/airflow/airflow/airflow.cfg",
    "airflow_adopt_python": "/home/airflow/venv/bin/python",
    "airflow_broker_host": "192.0.2.11",
    "airflow_worker_broker_users": [
        {"worker": name, "user": f"airflow-worker-{name}", "password": f"secret-{name}-worker-password"}
        for name in ("default", "reports")
    ],
    "airflow_worker_names": ["default", "reports"],
    "inventory_dir": "/inventory",
    "airflow_components": {},
    "airflow_maintenance_api_urls": {"host-1": "http://192.0.2.12:8080"},
    "airflow_maintenance_record": {"host": "vm1", "parts": []},
    "airflow_maintenance_site_components": {"scheduler": {"hosts": ["host-1"], "tier": "airflow"}},
    "airflow_maintenance_stopping": ["scheduler", "postgresql"],
    "prometheus_web_users": {"airstrip": "$2b$10$" + 53 * "x"},
    "removal_placed": {},
    "airflow_execution_api_server_url": "http://192.0.2.12:8080/execution/",
    "smoke_test_api_url": "http://192.0.2.12:8080",
    "haproxy_api_servers": [
        {"name": "vm1", "address": "192.0.2.1", "port": 8080},
        {"name": "vm2", "address": "192.0.2.2", "port": 8080},
    ],
    "dbt_database": {"host": "192.0.2.10", "port": 5432, "tls": True, "external": False},
    "keepalived_virtual_address": "192.0.2.100",
    "keepalived_peers": ["192.0.2.2"],
    **SECRETS,
}

_started = False


def start() -> None:
    """Make the project's plugins known to Ansible, once."""
    global _started  # noqa: PLW0603 - Ansible's loaders are global, too
    if not _started:
        if not AnsibleCollectionConfig.collection_finder:
            init_plugin_loader([])
        filter_loader.add_directory(str(PROJECT / "filter_plugins"))
        lookup_loader.add_directory(str(PROJECT / "lookup_plugins"))
        _compile_once()
        _started = True


def _compile_once() -> None:
    """Keep the code of each template: all imagined hosts have the same, and to compile it takes longer than to run it.

    Ansible's own environment keeps none. A run has a process for each task, but tests render it all in one.
    """
    compiled, known = AnsibleEnvironment.compile, dict[tuple[Any, ...], Any]()

    def compile_once(self: Any, source: Any, *arguments: Any) -> Any:
        if not isinstance(source, str):
            return compiled(self, source, *arguments)
        # All that the code depends on: the text, how it is read, and what it is called.
        context = _TemplateCompileContext.current(optional=True)
        options = [getattr(self, name) for name in _TEMPLATE_OVERRIDE_FIELD_NAMES]
        key = (source, context and context.escape_backslashes, *options, *arguments)
        if key not in known:
            known[key] = compiled(self, source, *arguments)
        return known[key]

    AnsibleEnvironment.compile = compile_once


@cache
def _loaded(path: Path) -> Any:
    """Return the content of a YAML file, with its templates trusted."""
    return DataLoader().load_from_file(str(path), trusted_as_template=True) or {}


def loaded(role: Path, directory: str) -> dict[str, Any]:
    """Return the variables in a role's `defaults` or `vars`."""
    found: dict[str, Any] = {}
    for path in sorted([*role.glob(f"{directory}/main.yml"), *role.glob(f"{directory}/main/*.yml")]):
        found |= _loaded(path)
    return found


def release(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the action airflow_release says of the release that the variables of a host ask for."""
    path = PROJECT / "roles" / "airflow_release"
    known = {**loaded(path, "defaults"), **values}
    templar = Templar(loader=DataLoader(), variables=known)
    names = {
        "version": "airflow_version",
        "directory": "airflow_install_directory",
        **{name: f"airflow_release_{name}" for name in ("extras", "extra_packages", "python_version", "constraints")},
    }
    given = {key: templar.template(trust_as_template(f"{{{{ {name} }}}}")) for key, name in names.items()}
    found: dict[str, Any] = load(PROJECT / "action_plugins" / "airflow_release.py").find(
        {**given, "locks": str(path / "files" / "locks")}
    )
    return found


def programs(variables: Mapping[str, Any], *components: str) -> dict[str, Any]:
    """Return the components of Airflow as the model gives them to the imagined host; all of them, if none is named."""
    from airstrip_imagined import facts, inventory  # noqa: PLC0415 - it is made with what stands here
    from airstrip_registry import declared, fact, registry  # noqa: PLC0415

    known = registry()
    given = {name: variables[name] for name in ("site_workers", "site_api_server_workers") if name in variables}
    names = {"site_executor": "airflow_executor", "site_tls_enabled": "airflow_api_server_tls_enabled"}
    given |= {name: variables[other] for name, other in names.items() if other in variables}
    placed = {known[name].group: ["vm1"] for name in components or (row.name for row in known.values() if row.airflow)}
    # Logs are served where another host asks for them.
    placed |= {"airflow_api_server": [*placed.get("airflow_api_server", []), "vm2"], "redis": ["vm2"]}
    said = {name: facts(number, name, processor_vcpus=1) for number, name in enumerate(("vm1", "vm2"), 1)}
    site = inventory(placed, given, said=said).site(known, declared())
    found: dict[str, Any] = fact(site)["hosts"]["vm1"]["programs"]
    return found


class Role:
    """A role on a host: its defaults and vars, below variables that are given."""

    def __init__(self, name: str, variables: Mapping[str, Any] | None = None) -> None:
        start()
        self.path = PROJECT / "roles" / name
        values = loaded(self.path, "defaults") | HOST | dict(variables or {})
        values |= {"airflow_release": release(values), "airflow_components": programs(values)} | dict(variables or {})
        values |= loaded(self.path, "vars")
        values |= {"role_path": str(self.path), "role_name": name, "ansible_search_path": [str(self.path)]}
        self._values = values
        self._templar = self._of(values)

    def _of(self, values: Mapping[str, Any]) -> Templar:
        loader = DataLoader()
        loader.set_basedir(str(PROJECT))
        return Templar(loader=loader, variables=values)

    def task(self, tasks: str, name: str) -> dict[str, Any]:
        """Return a task of the role as it is written, by its file and name; its own variables count from then on."""
        all_of_them = _flat(_loaded(self.path / "tasks" / f"{tasks}.yml"))
        found: dict[str, Any] = next(task for task in all_of_them if task["name"] == name)
        self._templar = self._of(self._values | found.get("vars", {}))
        return found

    def evaluate(self, expression: str, **own: Any) -> Any:
        """Return the value of an expression, without the braces; `own` are variables of its task."""
        templar = self._of(self._values | own) if own else self._templar
        return templar.template(trust_as_template("{{ " + expression + " }}"))

    def template(self, value: Any) -> Any:
        """Return a value that Ansible has read with its templates evaluated."""
        return self._templar.template(value)

    def text(self, text: str) -> str:
        """Return a text with its templates evaluated."""
        return str(self.template(trust_as_template(text)))

    def render(self, template: str, **own: Any) -> str:
        """Return what a template of the role gives; `own` are variables of its task."""
        path = self.path / "templates" / template
        return str(self.evaluate(f"lookup('airstrip_template', '{path}')", **own))


def _flat(tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for task in tasks:
        yield task
        for key in ("block", "rescue", "always"):
            yield from _flat(task.get(key, []))


def written(role: str, tasks: str, on: Role) -> list[dict[str, Any]]:
    """Return the entries of the first `file_set` in a task file of a role, one for each path."""
    path = PROJECT / "roles" / role / "tasks" / f"{tasks}.yml"
    first = next(task for task in _loaded(path) if "file_set" in task)
    return [
        {**entry, "path": place}
        for entry in on.template(on.task(tasks, first["name"])["file_set"]["entries"])
        for place in ([entry["path"]] if "path" in entry else entry["paths"])
    ]


def component_units(component: str, variables: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Return the units of a component of Airflow by file name."""
    role = Role("airflow", {**(variables or {}), "airflow_component": component})
    return {
        f"{instance['unit']}.service": role.render("component.service.j2", airflow_instance=instance)
        for instance in role.evaluate("__airflow_component.instances")
    }
