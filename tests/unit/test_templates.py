"""Templates give what the golden files hold, systemd understands the units, and a unit changes with its inputs."""

import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
from airstrip_module import load
from airstrip_render import FACTS, HOST, SECRETS, Role, component_units, programs
from airstrip_tree import PROJECT, RENDERED, Tree, write
from ansible.parsing.dataloader import DataLoader

GOLDEN = Path(__file__).parent / "golden"
COMPONENTS = ["api_server", "scheduler", "dag_processor", "triggerer", "worker"]

# Exposure of `systemd-analyze security` at most, in tenths.
EXPOSURE = 13

# Redis takes no comments in its access list.
WITHOUT_FIRST_LINE = {
    "roles/redis/templates/users.acl.j2",
    # Parts of another one.
    "roles/haproxy/templates/people.j2",
    "roles/haproxy/templates/people_backends.j2",
}

TOOL = {"airflow_tool_command": "/opt/airflow/current/bin/program --option"}
LOCAL: dict[str, Any] = {
    "airflow_executor": "LocalExecutor",
}
WORKERS: dict[str, Any] = {
    "site_workers": [
        {"name": "default", "queues": ["default"]},
        {
            "name": "reports",
            "queues": ["reports", "mail"],
            "autoscale": {"min": 1, "max": 6},
            "unit_options": {"MemoryDenyWriteExecute": "no", "ReadWritePaths": ["/var/lib/airflow", "/srv/exports"]},
        },
    ],
    "airflow_resource_limits": {"worker": {"MemoryMax": "8G", "TasksMax": 2000}},
    "airflow_unit_options": {"worker": {"Nice": 5}},
    "airflow_read_write_paths": {"worker": ["/srv/reports"]},
}
BOOKWORM: dict[str, Any] = {
    "ansible_facts": FACTS
    | {"systemd": {"version": 252}, "python_version": "3.11.2", "distribution_major_version": "12"}
}
CONFIGURED: dict[str, Any] = {
    "airflow_config_overrides": {
        "core": {"parallelism": 64, "load_examples": True, "dag_ignore_file_syntax": "glob"},
        "workers": {"max_failed_heartbeats": None},
        "logging": {"log_filename_template": "{{ ti.dag_id }}.log", "log_format": "%(asctime)s"},
    },
    "airflow_base_url": "https://airflow.example.com",
    "airflow_dag_bundles": [
        {
            "name": "git",
            "classpath": "airflow.providers.git.bundles.git.GitDagBundle",
            "kwargs": {"repo_url": "https://git.example.com/dags.git", "tracking_ref": "main"},
        }
    ],
    "airflow_environment": {"QUOTED": 'a "b" \\ c', "NUMBER": 1},
    "airflow_site_slots": 48,
    "airflow_proxy_environment": {"https_proxy": "http://proxy.example.com:3128"},
    "airflow_api_server_forwarded_allow_ips": ["192.0.2.20", "192.0.2.21"],
}
LDAP: dict[str, Any] = {
    "airflow_ldap": {
        "servers": ["ldaps://ldap1.example.com", "ldaps://ldap2.example.com"],
        "bind_user": "cn=airflow,ou=services,dc=example,dc=com",
        "search_base": "dc=example,dc=com",
        "user_filter": "(objectClass=person)",
        "nested_groups": True,
        "roles": {"CN=Admins, OU=groups,DC=example,DC=com": ["Admin"], "cn=it's,dc=example,dc=com": ["Op", "User"]},
    },
    "airflow_ldap_bind_password": "secret-ldap",
}
OAUTH: dict[str, Any] = {
    "airflow_oauth_providers": [
        {
            "name": "corp",
            "client_id": "airflow",
            "metadata_url": "https://idp.example.com/.well-known/openid-configuration",
            "email_domains": ["example.com"],
            "roles": {"airflow-admins": ["Admin"]},
        },
        {
            "name": "partner",
            "client_id": "it's",
            "metadata_url": "https://login.example.org/.well-known/openid-configuration",
            "username_claim": "upn",
            "username_prefix": "partner/",
            "ask_userinfo": False,
            "roles": {"airflow-admins": ["Viewer"]},
        },
    ],
    "airflow_login_role": "Viewer",
    "airflow_oauth_client_secrets": {"corp": "secret-corp", "partner": "secret-partner"},
}
BUNDLES: dict[str, Any] = {
    "airflow_config_overrides": {"dag_processor": {"dag_bundle_storage_path": "/srv/bundles"}},
    "airflow_dag_bundles": [
        {"name": "git", "classpath": "airflow.providers.git.bundles.git.GitDagBundle", "kwargs": {"tracking_ref": "a"}},
        {
            "name": "own",
            "classpath": "airflow.dag_processing.bundles.local.LocalDagBundle",
            "kwargs": {"path": "/srv/own"},
        },
    ],
}
REMOTE_LOGS: dict[str, Any] = {
    "airflow_remote_logs": {
        "url": "s3://airflow-logs/site",
        "endpoint_url": "https://s3.example.com:9000",
        "access_key_id": "AIRFLOW",
        "delete_local": True,
    },
}
STREAMED_LOGS: dict[str, Any] = {
    "airflow_remote_logs": {
        "url": "cloudwatch://arn:aws:logs:eu-west-1:123456789012:log-group:/airflow/tasks",
        "access_key_id": "AIRFLOW",
    },
}
TEAMS: dict[str, Any] = {
    "airflow_dag_bundles": [
        {"name": "team-a", "type": "git", "url": "git@git.example.com:team-a/dags.git", "subdir": "dags"},
        {"name": "team-c", "type": "s3", "server": "store", "bucket": "dags", "prefix": "team-c"},
    ],
    "airflow_bundle_servers": [
        {"name": "git", "url": "git@git.example.com:", "known_hosts": "git.example.com ssh-ed25519 AAAA"},
        {"name": "store", "endpoint": "https://s3.example.com"},
    ],
    "airflow_bundle_secrets": [
        {"name": "git", "deploy_key": "secret-deploy-key", "workers": ["default"]},
        {"name": "store", "access_key": "a", "secret_key": "secret-store-key"},
    ],
}
CLIENTS: dict[str, Any] = {
    "postgresql_clients": [
        {"database": "airflow", "user": "airflow", "address": "192.0.2.1"},
        {"database": "airflow_results", "user": "airflow_results", "address": "2001:db8::1"},
    ],
    "postgresql_extra_clients": [{"database": "app", "user": "app", "address": "198.51.100.0/24"}],
    "postgresql_listen_addresses": ["127.0.0.1", "192.0.2.10"],
    "postgresql_connections": 87,
    "postgresql_settings": {"log_min_duration_statement": "250ms", "search_path": ["it's", "public"]},
}
BASE: dict[str, Any] = {
    "base_http_proxy": "http://proxy.example.com:3128",
    "base_https_proxy": "http://proxy.example.com:3128",
    "base_ntp_servers": ["ntp1.example.com", "ntp2.example.com"],
    "base_locale": "de_DE.UTF-8",
}
EDGE: dict[str, Any] = {
    "haproxy_execution_clients": ["192.0.2.11", "2001:db8::11"],
    "haproxy_sticky_seconds": 86400,
    "haproxy_listen_addresses": ["0.0.0.0", "::"],  # noqa: S104 - a load balancer listens to everybody
}
PLAIN: dict[str, Any] = {
    "haproxy_tls_enabled": False,
    "haproxy_execution_clients": ["127.0.0.1"],
    "haproxy_log_requests_answered": True,
    "haproxy_api_servers": [{"name": "vm1", "address": "2001:db8::1", "port": 8080}],
}
ADDRESS: dict[str, Any] = {
    "keepalived_virtual_address": "2001:db8::100",
    "keepalived_address": "2001:db8::1",
    "keepalived_peers": ["2001:db8::2", "2001:db8::3"],
    "keepalived_advert_interval_ms": 1000,
}
FIREWALL: dict[str, Any] = {
    "firewall_comment": "SHA-256",
    "firewall_ssh_sources": ["192.0.2.0/24", "2001:db8::/32"],
    "firewall_rules": [
        {"service": "https", "protocol": "tcp", "port": 443, "sources": []},
        {"service": "postgresql", "protocol": "tcp", "port": 5432, "sources": ["192.0.2.11", "2001:db8::11"]},
        {"service": "vrrp", "protocol": "vrrp", "port": 0, "sources": ["192.0.2.12"]},
    ],
    "firewall_extra_rules": [{"comment": "media", "port": "5000-5010", "protocol": "udp"}],
    "firewall_log_enabled": True,
}
EGRESS: dict[str, Any] = FIREWALL | {
    "firewall_ssh_port": 2222,
    "firewall_egress_enabled": True,
    "firewall_egress_rules": [
        {"service": "redis", "protocol": "tcp", "port": 6379, "destinations": ["192.0.2.11"]},
        {"service": "vrrp", "protocol": "vrrp", "port": 0, "destinations": ["192.0.2.12"]},
    ],
    "firewall_egress_destinations": [
        {"comment": "S3", "port": 443, "destinations": ["198.51.100.0/24", "2001:db8:1::/48"]},
    ],
    "firewall_egress_resolvers": ["192.0.2.53", "2001:db8::53"],
}

GRAFANA: dict[str, Any] = {
    "grafana_repository": "https://apt.example.com/grafana",
    "grafana_listen_address": "192.0.2.1",
    "grafana_tls_enabled": True,
    "grafana_prometheus_servers": [
        {"name": "Prometheus", "url": "https://192.0.2.9:9090", "user": "grafana", "password": "a$b", "ca": "PEM"},
        {"name": "Other", "url": "http://127.0.0.1:9090"},
    ],
    "grafana_secret_files": [{"name": "oidc", "password": "secret-oidc"}],
    "grafana_settings": {
        "auth.generic_oauth": {
            "enabled": True,
            "client_secret": "$__file{/run/credentials/grafana-server.service/oidc}",
            "role_attribute_path": "contains(groups[*], 'platform') && 'Admin' || 'Viewer'",
        },
    },
}

INDEX: dict[str, Any] = {
    "airflow_release_package_index_url": "https://pypi.example.com/simple",
    "airflow_proxy_environment": {"https_proxy": "http://proxy.example.com:3128"},
}
ADOPTED: dict[str, Any] = {
    "airflow_version": "3.3.2",
    "airflow_adopt_version": "2.11.2",
    "airflow_adopt_proposal": {
        "variables": {
            "airflow_database_name": "old",
            "airflow_config_overrides": {
                "core": {"parallelism": "64"},
                "email": {"subject_template": "{{ lookup('ansible.builtin.pipe', 'touch ' ~ playbook_dir) }}"},
                "logging": {"log_filename_template": "{{ ti.dag_id }}/{% if ti.map_index >= 0 %}100%{% endif %}.log"},
            },
        },
        "dropped": ["core.check_slas", "core.x\nairflow_user: root"],
    },
}

JOURNALS: dict[str, Any] = {
    "journal_remote_listen_addresses": ["127.0.0.1", "2001:db8::1"],
    "journal_remote_senders": ["control-1", "worker-1"],
    "journal_remote_certificate": "CERTIFICATE",
}
UPLOADS: dict[str, Any] = {
    "journal_upload_servers": [
        {"name": "monitor-1", "address": "192.0.2.21", "port": 19532},
        {"name": "monitor-2", "address": "2001:db8::21", "port": 19532},
    ],
}

LOG_TARGET: dict[str, Any] = {
    "name": "central",
    "type": "opensearch",
    "url": "https://logs.example.com:9200/",
    "user": "writer",
    "ca_certificate": "CERTIFICATE",
    "index": "logs-airflow-prod",
    "labels": {"site": "prod"},
}
LOKI: dict[str, Any] = {
    "name": "loki",
    "type": "loki",
    "url": "http://127.0.0.1:3100",
    "tenant": "data",
    "labels": {"site": "prod"},
}
LOG_TARGETS: dict[str, Any] = {"log_shipper_targets": [LOG_TARGET, LOKI]}

BROKER_USERS = [
    {"name": "airflow-worker-reports", "password": "secret-reports-password"}
    | {"keys": ["mail", "mail\x06\x16*", "unacked.reports"], "channels": ["/0/reports.celery.pidbox"]},
    {"name": "airflow-flower-reports", "password": "secret-flower-password", "keys": ["celeryev.*"]}
    | {"counted": ["mail", "mail\x06\x16*"], "channels": ["/0/reports.celery.pidbox"]},
]

ALERTS: dict[str, Any] = {
    "alertmanager_web_users": {"prometheus": "$2b$10$" + 53 * "x", "ops": "$2b$10$" + 53 * "y"},
    "alertmanager_smtp_smarthost": "mail.example.com:587",
    "alertmanager_smtp_from": "airflow@example.com",
    "alertmanager_smtp_username": "airflow",
    "alertmanager_receivers": [
        {"name": "platform", "email_configs": [{"to": "platform@example.com"}]},
        {"name": "pager", "pagerduty_configs": [{"routing_key": SECRETS["alertmanager_smtp_password"]}]},
        {"name": "relay", "webhook_configs": [{"url": "https://example.com/hook", "max_alerts": 20}]},
    ],
    "alertmanager_routes": [
        {"receiver": "pager", "severity": "critical", "continue": True},
        {"receiver": "relay", "owner": ["data", "finance"], "repeat_interval": "12h"},
    ],
    "alertmanager_watchdog_receiver": "relay",
    "alertmanager_inhibit_rules": [{"source_matchers": ["a=b"], "target_matchers": ["c=d"]}],
}
CLUSTER: dict[str, Any] = {
    "alertmanager_listen_addresses": ["127.0.0.1", "2001:db8::1"],
    "alertmanager_external_url": "https://alerts.example.com",
    "alertmanager_tls_enabled": True,
    "alertmanager_peers": ["192.0.2.2", "2001:db8::3"],
    "alertmanager_cluster_address": "192.0.2.1",
}
VIEWERS: dict[str, Any] = {"haproxy_prometheus_servers": [{"name": "vm3", "address": "192.0.2.3", "port": 9090}]}
FLOWER: dict[str, Any] = {"haproxy_flower_servers": [{"name": "vm4", "address": "192.0.2.4", "port": 5555}]}
EXPORTERS: dict[str, Any] = {
    "exporters_enabled": [
        *("exporter_exporter", "node_exporter", "process_exporter"),
        *("postgresql_exporter", "redis_exporter", "blackbox_exporter"),
    ],
    "exporters_database": {"address": "192.0.2.10", "port": 5432, "tls": True, "external": False},
    "exporters_broker": {"address": "2001:db8::1", "port": 6379, "tls": True, "external": True},
    "exporters_broker_queues": ["default", "reports"],
    "exporters_listen_addresses": ["127.0.0.1", "192.0.2.1"],
    "exporters_tls_enabled": True,
    "exporters_ca_certificate": "ours",
}
WATCHED: dict[str, Any] = {
    "prometheus_targets": [
        {"job": job, "instance": f"vm{number}", "address": f"192.0.2.{number}", "port": 9999}
        for job in ("node", "process")
        for number in (1, 2)
    ],
    "prometheus_alertmanagers": [{"name": "vm1", "address": "127.0.0.1", "port": 9093}],
    "prometheus_probes": [{"module": "http_health", "url": "https://airflow.example.com/api/v2/monitor/health"}],
    "prometheus_endpoints": [
        {
            "name": "app",
            "targets": ["app.example.com:9000"],
            "username": "a",
            "password_file": "/etc/app",
            "labels": {"b": "c"},
        },
        {"name": "near", "targets": ["127.0.0.1:9001"], "scheme": "http", "path": "/m", "ca_file": "/etc/ca"},
    ],
    "prometheus_external_labels": {"site": "production"},
    "prometheus_tls_enabled": True,
    "prometheus_listen_addresses": ["127.0.0.1", "192.0.2.1"],
}


APPS: list[dict[str, Any]] = [
    {
        "name": "etl",
        "command": ["python", "work.py", "--rate", "5%", "$HOME"],
        "runtime": "python",
        "environment": {"GREETING": 'a "b" 5% $HOME'},
        "credentials": {"token": "camunda_token"},
        "resources": {"MemoryMax": "512M"},
        "read_write_paths": ["/srv/exports", "/srv/more"],
        "unit_options": {"RestrictAddressFamilies": None},
        "stop_timeout": 600,
        "instances": [{"number": 1, "unit": "app-worker-etl@1.service", "port": 0, "elastic": False}],
    },
    {
        "name": "web",
        "command": ["node", "server.js"],
        "runtime": "nodejs",
        "health": {"http": "/health", "seconds": 60},
        "instances": [{"number": 2, "unit": "app-worker-web@2.service", "port": 8012, "elastic": True}],
    },
    {
        "name": "tool",
        "command": ["bin/tool"],
        "runtime": "none",
        "health": {"command": ["/usr/bin/test", "-e", "/run/tool"]},
        "instances": [{"number": 1, "unit": "app-worker-tool@1.service", "port": 0, "elastic": False}],
    },
]
SCRAPED: dict[str, Any] = {
    "prometheus_targets": [
        {"job": "app_etl", "instance": "vm1", "address": "192.0.2.1", "port": 9999}
        | {"labels": {"__module": f"app_etl_{number}", "app_instance": str(number)}}
        for number in (1, 2)
    ]
}
OUTSIDE: dict[str, Any] = {
    "dbt_database": {"host": "warehouse.example.com", "port": 5433, "tls": True, "external": True},
    "dbt_ca_certificate": "ours",
}


def instance(number: int) -> dict[str, Any]:
    """Return the variables of the instance of an app."""
    results = [{"path": f"/opt/app/{app['name']}/releases/0123456789abcdef"} for app in APPS]
    found = Role("app_worker", {"app_worker_apps": APPS, "app_release": {"results": results}})
    return {"app_worker_instance": found.evaluate("__app_worker_instances")[number]}


def exporter(number: int) -> dict[str, Any]:
    """Return the variables of one of a host's exporters."""
    return EXPORTERS | {"exporters_exporter": Role("exporters", EXPORTERS).evaluate("__exporters_here")[number]}


BACKEND: dict[str, Any] = {
    "airflow_secrets_backend": {
        "type": "openbao", "url": "https://bao.example.com:8200", "auth_type": "approle", "role_id": "airflow",
    },
    "airflow_secrets_backend_secret": "secret-id-of-servers",
    "airflow_worker_secrets_backend": {"type": "aws_ssm", "region_name": "eu-central-1"},
}  # fmt: skip
LOCAL_FILES: dict[str, Any] = {
    "airflow_secrets_backend": {"type": "local_files"},
    "airflow_secrets_backend_connections": {"mail": "smtp://a:secret-of-mail@mail.example.com"},
}

# Golden file, role, template and variables.
FILES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("airflow/airflow.cfg", "airflow", "airflow.cfg.j2", {}),
    ("airflow/airstrip-cleanup.service", "airflow", "airstrip-cleanup.service.j2", BUNDLES),
    ("airflow/airstrip-cleanup.timer", "airflow", "airstrip-cleanup.timer.j2", {"airflow_cleanup_service": "unit"}),
    ("airflow/logs.mount", "airflow", "logs.mount.j2", {}),
    ("airflow/webserver_config", "airflow", "webserver_config.py.j2", CONFIGURED),
    ("airflow/webserver_config.ldap", "airflow", "webserver_config.py.j2", LDAP),
    ("airflow/webserver_config.oauth", "airflow", "webserver_config.py.j2", OAUTH),
    ("airflow/airflow.cfg.configured", "airflow", "airflow.cfg.j2", CONFIGURED),
    ("airflow/airflow.cfg.local_executor", "airflow", "airflow.cfg.j2", LOCAL),
    ("airflow/airflow.cfg.3.1.7", "airflow", "airflow.cfg.j2", {"airflow_version": "3.1.7"}),
    ("airflow/environment", "airflow", "environment.j2", {}),
    ("airflow/environment.configured", "airflow", "environment.j2", CONFIGURED),
    ("airflow/airflow.cfg.remote_logs", "airflow", "airflow.cfg.j2", REMOTE_LOGS),
    ("airflow/environment.remote_logs", "airflow", "environment.j2", REMOTE_LOGS),
    ("airflow/environment.teams", "airflow", "environment.j2", TEAMS),
    ("airflow/airflow.cfg.teams", "airflow", "airflow.cfg.j2", TEAMS),
    ("airflow/airflow.teams", "airflow", "airflow.j2", {"airflow_tool": "airflow"} | TOOL | TEAMS),
    ("airflow/airflow", "airflow", "airflow.j2", {"airflow_tool": "airflow"} | TOOL),
    (
        "airflow/airflow.worker_host",
        "airflow",
        "airflow.j2",
        {"airflow_tool": "airflow", "airflow_components": programs({}, "worker")} | TOOL,
    ),
    ("airflow/airflow.backend", "airflow", "airflow.j2", {"airflow_tool": "airflow"} | TOOL | BACKEND),
    ("airflow/airflow.local_files", "airflow", "airflow.j2", {"airflow_tool": "airflow"} | TOOL | LOCAL_FILES),
    ("airflow/airflow-celery", "airflow", "airflow.j2", {"airflow_tool": "airflow-celery"} | TOOL),
    ("airflow_release/build.sh", "airflow_release", "build.sh.j2", {}),
    ("airflow_release/build.sh.ldap", "airflow_release", "build.sh.j2", {"airflow_release_ldap": {"servers": ["a"]}}),
    (
        "airflow_release/build.sh.offline",
        "airflow_release",
        "build.sh.j2",
        {
            "airflow_release_wheelhouse": "/srv/wheel house",
            "airflow_release_package_index_enabled": False,
            "airflow_release_source_packages_allowed": True,
            "airflow_release_constraints": "https://example.com/constraints.txt",
        },
    ),
    (
        "airflow_release/build.env",
        "airflow_release",
        "build.env.j2",
        {"airflow_release_wheelhouse": "https://u:p@example.com/w"} | INDEX,
    ),
    ("alertmanager/airstrip.conf", "alertmanager", "airstrip.conf.j2", {}),
    ("alertmanager/airstrip.conf.cluster", "alertmanager", "airstrip.conf.j2", CLUSTER),
    ("alertmanager/configuration", "alertmanager", "alertmanager.yml.j2", ALERTS),
    ("alertmanager/configuration.bookworm", "alertmanager", "alertmanager.yml.j2", ALERTS | BOOKWORM),
    ("alertmanager/configuration.none", "alertmanager", "alertmanager.yml.j2", {}),
    ("alertmanager/cluster", "alertmanager", "cluster.yml.j2", CLUSTER),
    ("alertmanager/web", "alertmanager", "web.yml.j2", ALERTS),
    ("alertmanager/web.tls", "alertmanager", "web.yml.j2", ALERTS | CLUSTER),
    ("exporters/exporter_exporter.conf", "exporters", "exporter.conf.j2", exporter(0)),
    ("exporters/node_exporter.conf", "exporters", "exporter.conf.j2", exporter(1)),
    ("exporters/process_exporter.conf", "exporters", "exporter.conf.j2", exporter(2)),
    ("exporters/postgresql_exporter.conf", "exporters", "exporter.conf.j2", exporter(3)),
    ("exporters/redis_exporter.conf", "exporters", "exporter.conf.j2", exporter(4)),
    ("exporters/blackbox_exporter.conf", "exporters", "exporter.conf.j2", exporter(5)),
    ("exporters/modules", "exporters", "modules.yml.j2", {}),
    ("exporters/processes", "exporters", "processes.yml.j2", {}),
    ("exporters/blackbox", "exporters", "blackbox.yml.j2", {}),
    ("exporters/airstrip-status-metrics.service", "exporters", "airstrip-status-metrics.service.j2", {}),
    ("exporters/airstrip-status-metrics.timer", "exporters", "airstrip-status-metrics.timer.j2", {}),
    ("prometheus/configuration", "prometheus", "prometheus.yml.j2", WATCHED),
    ("prometheus/configuration.plain", "prometheus", "prometheus.yml.j2", {}),
    ("prometheus/configuration.apps", "prometheus", "prometheus.yml.j2", SCRAPED),
    ("prometheus/airstrip.conf", "prometheus", "airstrip.conf.j2", WATCHED),
    ("airflow_exporter/service", "airflow_exporter", "airstrip-airflow-exporter.service.j2", {}),
    ("scale_hook/airstrip-scale-hook.service", "scale_hook", "airstrip-scale-hook.service.j2", {}),
    ("scale_hook/airstrip-scale-hook.timer", "scale_hook", "airstrip-scale-hook.timer.j2", {}),
    ("worker_scale/airstrip-worker-scale.service", "worker_scale", "airstrip-worker-scale.service.j2", {}),
    ("worker_scale/airstrip-worker-scale.timer", "worker_scale", "airstrip-worker-scale.timer.j2", {}),
    ("airflow_heal/service", "airflow_heal", "airstrip-airflow-heal.service.j2", {}),
    ("statsd_exporter/service", "statsd_exporter", "airstrip-statsd-exporter.service.j2", {}),
    ("statsd_exporter/mapping", "statsd_exporter", "mapping.yml.j2", {}),
    ("postgresql/pg_hba.conf", "postgresql", "pg_hba.conf.j2", CLIENTS),
    ("postgresql/airstrip.conf", "postgresql", "airstrip.conf.j2", CLIENTS),
    ("postgresql/createcluster.conf", "postgresql", "createcluster.conf.j2", {}),
    ("redis/redis.conf", "redis", "redis.conf.j2", {"redis_listen_addresses": ["127.0.0.1", "192.0.2.11"]}),
    ("redis/valkey.conf", "redis", "redis.conf.j2", {"redis_engine": "valkey", "redis_settings": {"save": "900 1"}}),
    ("redis/users.acl", "redis", "users.acl.j2", {"redis_worker_users": BROKER_USERS}),
    ("base/50-airflow.conf", "base", "50-airflow.conf.j2", {}),
    ("base/80airstrip-proxy", "base", "80airstrip-proxy.j2", BASE),
    ("base/80airstrip-proxy.none", "base", "80airstrip-proxy.j2", {}),
    ("base/50-airstrip.conf", "base", "50-airstrip.conf.j2", {}),
    ("base/50-airstrip.conf.none", "base", "50-airstrip.conf.j2", {"base_journal_days": 0, "base_journal_mb": 0}),
    ("base/airstrip.sources", "base", "airstrip.sources.j2", BASE),
    ("base/locale", "base", "locale.j2", BASE),
    ("base/pip.conf", "base", "pip.conf.j2", {}),
    ("base/uv.toml", "base", "uv.toml.j2", {}),
    ("haproxy/haproxy.cfg", "haproxy", "haproxy.cfg.j2", EDGE),
    ("haproxy/haproxy.cfg.viewers", "haproxy", "haproxy.cfg.j2", EDGE | VIEWERS),
    ("haproxy/people", "haproxy", "people.j2", EDGE | VIEWERS),
    ("haproxy/people_backends", "haproxy", "people_backends.j2", EDGE | VIEWERS),
    ("haproxy/haproxy.cfg.flower", "haproxy", "haproxy.cfg.j2", EDGE | VIEWERS | FLOWER),
    ("haproxy/people.flower", "haproxy", "people.j2", EDGE | FLOWER | {"haproxy_flower_read_only": False}),
    ("haproxy/haproxy.cfg.plain", "haproxy", "haproxy.cfg.j2", PLAIN),
    ("journal_remote/receiver.cfg", "journal_remote", "receiver.cfg.j2", JOURNALS),
    ("journal_remote/receiver.cfg.none", "journal_remote", "receiver.cfg.j2", {}),
    (
        "journal_remote/airstrip-journal-receiver.service",
        "journal_remote",
        "airstrip-journal-receiver.service.j2",
        JOURNALS,
    ),
    (
        "journal_remote/airstrip-journal-receiver.service.none",
        "journal_remote",
        "airstrip-journal-receiver.service.j2",
        {},
    ),
    ("journal_remote/airstrip-journal-remote@.service", "journal_remote", "airstrip-journal-remote@.service.j2", {}),
    ("journal_remote/airstrip-journal-remote@.socket", "journal_remote", "airstrip-journal-remote@.socket.j2", {}),
    ("journal_remote/airstrip-logs-clean.service", "journal_remote", "airstrip-logs-clean.service.j2", {}),
    ("journal_remote/airstrip-logs-clean.timer", "journal_remote", "airstrip-logs-clean.timer.j2", {}),
    ("journal_upload/airstrip-journal-upload.service", "journal_upload", "airstrip-journal-upload.service.j2", UPLOADS),
    ("journal_upload/airstrip-journal-upload@.service", "journal_upload", "airstrip-journal-upload@.service.j2", {}),
    ("log_shipper/airstrip-log-shipper.service", "log_shipper", "airstrip-log-shipper.service.j2", LOG_TARGETS),
    ("log_shipper/airstrip-log-shipper@.service", "log_shipper", "airstrip-log-shipper@.service.j2", {}),
    ("log_shipper/central.conf", "log_shipper", "target.conf.j2", {"log_shipper_target": LOG_TARGET}),
    ("log_shipper/loki.conf", "log_shipper", "target.conf.j2", {"log_shipper_target": LOKI}),
    ("keepalived/keepalived.conf", "keepalived", "keepalived.conf.j2", {}),
    ("keepalived/keepalived.conf.alone", "keepalived", "keepalived.conf.j2", {"keepalived_peers": []}),
    ("keepalived/keepalived.conf.ipv6", "keepalived", "keepalived.conf.j2", ADDRESS),
    ("keepalived/addresses.conf", "keepalived", "addresses.conf.j2", {}),
    ("haproxy/addresses.conf", "haproxy", "addresses.conf.j2", {}),
    ("postgresql/addresses.conf", "postgresql", "addresses.conf.j2", CLIENTS),
    ("redis/addresses.conf", "redis", "addresses.conf.j2", {"redis_listen_addresses": ["127.0.0.1", "192.0.2.10"]}),
    ("keepalived/check-haproxy", "keepalived", "check-haproxy.j2", {}),
    ("grafana/airstrip.conf", "grafana", "airstrip.conf.j2", GRAFANA),
    ("grafana/dashboards", "grafana", "dashboards.yaml.j2", {}),
    ("grafana/datasources", "grafana", "datasources.yaml.j2", GRAFANA),
    ("grafana/grafana.ini", "grafana", "grafana.ini.j2", {}),
    ("grafana/grafana.ini.configured", "grafana", "grafana.ini.j2", GRAFANA),
    ("grafana/grafana.sources", "grafana", "grafana.sources.j2", GRAFANA),
    ("firewall/firewall.nft", "firewall", "firewall.nft.j2", FIREWALL),
    ("firewall/firewall.nft.ssh_only", "firewall", "firewall.nft.j2", {"firewall_comment": "SHA-256"}),
    ("firewall/firewall.nft.egress", "firewall", "firewall.nft.j2", EGRESS),
    ("firewall/widen.nft", "firewall", "widen.nft.j2", FIREWALL),
    ("firewall/widen.nft.egress", "firewall", "widen.nft.j2", EGRESS),
    ("firewall/airstrip-firewall.service", "firewall", "airstrip-firewall.service.j2", {}),
    ("firewall/look.sh", "firewall", "look.sh.j2", {}),
    ("firewall/arm_revert.sh", "firewall", "arm_revert.sh.j2", {}),
    ("firewall/keep.sh", "firewall", "keep.sh.j2", {}),
    ("airflow_adopt/check_dags", "airflow_adopt", "check_dags.sh.j2", INDEX),
    ("airflow_adopt/adopted.yml", "airflow_adopt", "adopted.yml.j2", ADOPTED),
    ("app_release/airstrip.conf", "app_release", "airstrip.conf.j2", {}),
    ("app_release/build.env", "app_release", "build.env.j2", {"app_release_environment": {"A": 'a "b"'}}),
    ("app_worker/python.service", "app_worker", "app-worker.service.j2", instance(0)),
    ("app_worker/nodejs.service", "app_worker", "app-worker.service.j2", instance(1)),
    ("app_worker/none.service", "app_worker", "app-worker.service.j2", instance(2)),
    ("dbt/airstrip.conf", "dbt", "airstrip.conf.j2", {}),
    ("dbt/dbt", "dbt", "dbt.j2", {}),
    ("dbt/profiles", "dbt", "profiles.yml.j2", {"dbt_ca_certificate": "ours"}),
    ("dbt/profiles.external", "dbt", "profiles.yml.j2", OUTSIDE),
    ("dbt/run", "dbt", "run.j2", {"dbt_project_source": "projects/shop"}),
]

# Suffix of the golden file, component and variables.
UNITS: list[tuple[str, str, dict[str, Any]]] = [
    *(("", component, {}) for component in COMPONENTS),
    (".local_executor", "scheduler", LOCAL),
    (".bookworm", "scheduler", BOOKWORM),
    (".proxied", "api_server", CONFIGURED),
    (".two", "worker", WORKERS),
    (".remote_logs", "worker", REMOTE_LOGS),
    (".remote_logs", "api_server", REMOTE_LOGS),
    (".streamed_logs", "dag_processor", STREAMED_LOGS),
    *((".backend", component, BACKEND) for component in COMPONENTS),
    (".local_files", "dag_processor", LOCAL_FILES),
    ("", "flower", {"airflow_flower_listen_addresses": ["127.0.0.1", "192.0.2.1"]}),
]


def compare(name: str, text: str, update: bool) -> None:
    """Compare a text with a golden file; with `update`, write that first."""
    path = GOLDEN / name
    if update:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.exists(), f"no golden file {name}: run with --update-golden and read what it wrote"
    assert text == path.read_text(encoding="utf-8"), f"{name} differs: if that is wanted, run with --update-golden"


@pytest.fixture(name="update")
def fixture_update(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.mark.parametrize(("name", "role", "template", "variables"), FILES, ids=[case[0] for case in FILES])
def test_files_are_as_the_golden_ones(
    name: str, role: str, template: str, variables: dict[str, Any], update: bool
) -> None:
    compare(name, Role(role, variables).render(template), update)


@pytest.mark.parametrize(("suffix", "component", "variables"), UNITS, ids=[f"{case[1]}{case[0]}" for case in UNITS])
def test_units_are_as_the_golden_ones(suffix: str, component: str, variables: dict[str, Any], update: bool) -> None:
    for name, text in component_units(component, variables).items():
        # The digest changes with every byte of the configuration, of which other files tell.
        masked, count = re.subn(r"(?<=\nX-ConfigChecksum=)[0-9a-f]{64}(?=\n)", "SHA-256", text)
        assert count == 1
        compare(f"airflow/{name}{suffix}", masked, update)


def test_every_template_is_rendered_and_every_golden_file_is_used() -> None:
    rendered = {f"roles/{role}/templates/{template}" for _, role, template, _ in FILES}
    rendered.add("roles/airflow/templates/component.service.j2")
    tree = Tree()
    assert rendered == {tree.place(path) for path in tree.files("roles/*/templates/*")}
    used = {name for name, *_ in FILES}
    for suffix, component, variables in UNITS:
        used |= {f"airflow/{name}{suffix}" for name in component_units(component, variables)}
    assert used == {path.relative_to(GOLDEN).as_posix() for path in GOLDEN.glob("*/*")}


def test_no_golden_file_contains_a_secret() -> None:
    for path in GOLDEN.glob("*/*"):
        for value in (*SECRETS.values(), "secret-id-of-servers", "secret-of-mail"):
            assert value not in path.read_text(encoding="utf-8"), path.name


# Rules for the templates' text and for the tasks that write files.


def first_lines_say_who_manages_the_file(tree: Tree) -> Iterator[str]:
    for path in tree.files("roles/*/templates/*"):
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#!")]
        managed = re.fullmatch(r"\{\{ ansible_managed \| comment(\('\w+'\))? \}\}", lines[0] if lines else "")
        if not managed and tree.place(path) not in WITHOUT_FIRST_LINE:
            yield f"{tree.place(path)}: the first line is not {{{{ ansible_managed | comment }}}}"


def templates_have_no_dates_and_no_components(tree: Tree) -> Iterator[str]:
    for path in tree.files("roles/*/templates/*"):
        text = path.read_text(encoding="utf-8")
        if re.search(r"\bnow\(|date_time|strftime", text):
            yield f"{tree.place(path)}: a date changes the file in every run"
        if re.search(r"\bairflow_component\b", text):
            yield f"{tree.place(path)}: what differs between components stands in their table"


def templates_are_named_after_their_files(tree: Tree) -> Iterator[str]:
    for role in tree.roles:
        for task in tree.tasks(role):
            if task.module == "ansible.builtin.template":
                source, destination = str(task.arguments["src"]), Path(str(task.arguments["dest"])).name
                if "{{" not in source + destination and source != f"{destination}.j2":
                    yield f"{task.place}: {source} is not {destination}.j2"
                if "{{" not in source and not (tree.root / "roles" / role / "templates" / source).exists():
                    yield f"{task.place}: there is no {source}"
            for entry in tree.entries(role, task):
                text = str(entry.get("content"))
                for source in RENDERED.findall(text):
                    name = Path(str(entry.get("path"))).name
                    # With variables of its own, one template makes several files; a computed name is not known here.
                    if source != f"{name}.j2" and "template_vars=" not in text and "{{" not in name:
                        yield f"{task.place}: {source} is not {name}.j2"
                    if not (tree.root / "roles" / role / "templates" / source).exists():
                        yield f"{task.place}: there is no {source}"


def variables_are_not_copied_for_templates(tree: Tree) -> Iterator[str]:
    for path in tree.files("roles/**/*.yml", "inventory/*.yml"):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
            if re.search(r"lookup\('(ansible\.builtin\.)?template'", line):
                yield f"{tree.place(path, number)}: render it by the lookup airstrip_template"


# What it writes on the controller belongs to whoever runs Ansible.
ROLES_ON_THE_CONTROLLER = {"certificates", "status"}


def files_have_owner_and_mode(tree: Tree) -> Iterator[str]:
    modules = ("template", "copy", "blockinfile", "file", "get_url", "unarchive")
    for role in set(tree.roles) - ROLES_ON_THE_CONTROLLER:
        for task in tree.tasks(role):
            if task.keys.get("delegate_to") == "localhost":
                continue
            if task.module in {f"ansible.builtin.{name}" for name in modules}:
                written = [task.arguments]
            elif task.module == "file_set":
                # Of one that is computed, what its task says is known.
                written = [task.arguments | entry for entry in tree.entries(role, task)]
            else:
                continue
            for arguments in written:
                yield from (f"{task.place}: {problem}" for problem in problems_of_attributes(arguments))


def problems_of_attributes(arguments: Mapping[str, Any]) -> Iterator[str]:
    if arguments.get("state") == "absent":
        return
    for name in {"owner", "group", "mode"} - set(arguments):
        # A link has no mode of its own.
        if not (name == "mode" and arguments.get("state") == "link"):
            yield f"without {name}"
    mode = arguments.get("mode", "0644")
    if not isinstance(mode, str) or not re.fullmatch(r"0[0-7]{3}|\{\{.*\}\}", mode):
        yield f"the mode {mode!r} is not a quoted number of four digits"


CHECKS = [
    first_lines_say_who_manages_the_file,
    templates_have_no_dates_and_no_components,
    templates_are_named_after_their_files,
    variables_are_not_copied_for_templates,
    files_have_owner_and_mode,
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_project_keeps_the_rule(check: Any) -> None:
    problems = "\n".join(check(Tree()))
    assert not problems, problems


TASKS = "roles/web/tasks/main.yml"
TEMPLATE = "roles/web/templates/web.conf.j2"
VARS = "roles/web/vars/main.yml"
WRITTEN = {
    TASKS: '- file_set:\n    entries: "{{ __web_files }}"\n    owner: root\n    group: root\n',
    VARS: "__web_files:\n  - path: /etc/web.conf\n    content: \"{{ lookup('airstrip_template', 'a.j2') }}\"\n",
}
WRITE = "- ansible.builtin.template:\n    src: {}\n    dest: /etc/web.conf\n    owner: root\n    group: root\n"


@pytest.mark.parametrize(
    ("check", "files", "message"),
    [
        (first_lines_say_who_manages_the_file, {TEMPLATE: "# ours\n"}, "the first line"),
        (templates_have_no_dates_and_no_components, {TEMPLATE: "# {{ now() }}\n"}, "a date"),
        (templates_have_no_dates_and_no_components, {TEMPLATE: "{% if airflow_component == 'a' %}\n"}, "their table"),
        (
            templates_are_named_after_their_files,
            {TASKS: WRITE.format("a.j2"), "roles/web/templates/a.j2": ""},
            "a.j2 is",
        ),
        (templates_are_named_after_their_files, {TASKS: WRITE.format("web.conf.j2")}, "there is no"),
        (templates_are_named_after_their_files, {**WRITTEN, "roles/web/templates/a.j2": ""}, "a.j2 is not web.conf.j2"),
        (
            templates_are_named_after_their_files,
            {TASKS: WRITTEN[TASKS], VARS: WRITTEN[VARS].replace("a.j2", "web.conf.j2")},
            "there is no web.conf.j2",
        ),
        (
            variables_are_not_copied_for_templates,
            {VARS: "a: \"{{ lookup('template', 'a.j2') }}\"\n"},
            "by the lookup airstrip_template",
        ),
        (files_have_owner_and_mode, WRITTEN, "without mode"),
        (files_have_owner_and_mode, WRITTEN | {VARS: WRITTEN[VARS] + "    mode: 0644\n"}, "the mode 420"),
        (files_have_owner_and_mode, {TASKS: WRITE.format("web.conf.j2")}, "without mode"),
        (files_have_owner_and_mode, {TASKS: WRITE.format("web.conf.j2") + "    mode: 0644\n"}, "the mode 420"),
        (files_have_owner_and_mode, {TASKS: WRITE.format("web.conf.j2") + '    mode: "644"\n'}, "the mode '644'"),
    ],
)
def test_a_breach_is_found(check: Any, files: dict[str, str], message: str, tmp_path: Path) -> None:
    found = list(check(write(tmp_path, files)))
    assert len(found) == 1
    assert message in found[0]


# What makes a component restart.


def checksums(variables: Mapping[str, Any]) -> dict[str, str]:
    """Return the digest in each component's first unit."""
    units = {component: next(iter(component_units(component, variables).values())) for component in COMPONENTS}
    return {component: text.partition("X-ConfigChecksum=")[2][:64] for component, text in units.items()}


@pytest.fixture(name="before", scope="module")
def fixture_before() -> dict[str, str]:
    return checksums({})


@pytest.mark.parametrize(
    ("variables", "components"),
    [
        ({"airflow_version": "3.2.2"}, COMPONENTS),
        ({"airflow_release_extra_packages": ["humanize"]}, COMPONENTS),
        ({"airflow_config_overrides": {"core": {"parallelism": 64}}}, COMPONENTS),
        ({"airflow_config_overrides": {"core": {"parallelism": 64}, "triggerer": {"capacity": 99}}}, COMPONENTS),
        ({"airflow_config_overrides": {"triggerer": {"capacity": 99}}}, ["triggerer"]),
        ({"airflow_config_overrides": {"scheduler": {"scheduler_idle_sleep_time": 2}}}, ["scheduler"]),
        ({"airflow_config_overrides": {"dag_processor": {"parsing_processes": 4}}}, ["dag_processor"]),
        ({"airflow_config_overrides": {"celery": {"worker_concurrency": 2}}}, ["worker"]),
        ({"airflow_config_overrides": {"celery": {"worker_prefetch_multiplier": 2}}}, ["scheduler", "worker"]),
        ({"airflow_config_overrides": {"workers": {"max_failed_heartbeats": None}}}, ["scheduler", "worker"]),
        ({"airflow_config_overrides": {"fab": {"navbar_color": "red"}}}, ["api_server"]),
        ({"airflow_config_overrides": {"kubernetes_executor": {"namespace": "a"}}}, COMPONENTS),
        ({"airflow_base_url": "https://airflow.example.com"}, COMPONENTS),
        ({"airflow_api_server_workers": 4}, ["api_server"]),
        ({"airflow_triggerer_log_port": 9794}, ["api_server", "triggerer"]),
        ({"airflow_environment": {"A": "b"}}, COMPONENTS),
        ({"airflow_proxy_environment": {"https_proxy": "http://proxy.example.com"}}, COMPONENTS),
        ({"airflow_dags_folder": "/srv/dags"}, COMPONENTS),
        ({"airflow_fernet_key": "YW5vdGhlci1mZXJuZXQta2V5LW9mLTMyLWJ5dGVzISE="}, COMPONENTS),
        ({"airflow_database_password": "another"}, ["api_server", "scheduler", "dag_processor", "triggerer"]),
        ({"airflow_database_host": "192.0.2.99"}, ["api_server", "scheduler", "dag_processor", "triggerer", "worker"]),
        ({"airflow_results_database_password": "another"}, ["worker"]),
        ({"airflow_results_reader_password": "another"}, ["scheduler"]),
        ({"airflow_broker_password": "another"}, ["scheduler"]),
        ({"airflow_worker_broker_users": [{"worker": "default", "user": "w", "password": "another"}]}, ["worker"]),
        ({"airflow_jwt_secret": "another"}, ["api_server", "scheduler"]),
        ({"airflow_session_secret_key": "another"}, ["api_server"]),
        ({"airflow_webserver_config": "AUTH_TYPE = 2"}, ["api_server"]),
        (LDAP, ["api_server"]),
        (OAUTH, ["api_server"]),
        ({"airflow_api_secret_key": "another"}, ["api_server", "scheduler", "triggerer", "worker"]),
        ({"airflow_admin_password": "another"}, []),
        ({"airflow_restart_delay": 9}, []),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_component_restarts_exactly_when_what_it_reads_changes(
    variables: dict[str, Any], components: list[str], before: dict[str, str]
) -> None:
    after = checksums(variables)
    assert [component for component in COMPONENTS if before[component] != after[component]] == components


@pytest.mark.parametrize(
    ("executor", "expected"),
    [
        ("CeleryExecutor", "CeleryExecutor:airstrip_executor.CeleryExecutor"),
        (
            "LocalExecutor, CeleryExecutor;team1=CeleryExecutor",
            "LocalExecutor, CeleryExecutor:airstrip_executor.CeleryExecutor"
            ";team1=CeleryExecutor:airstrip_executor.CeleryExecutor",
        ),
        ("their.CeleryExecutor,CeleryExecutorOfTheirs", "their.CeleryExecutor,CeleryExecutorOfTheirs"),
    ],
)
def test_only_schedulers_have_an_executor_of_ours(executor: str, expected: str) -> None:
    variables = {"airflow_executor": executor}
    assert Role("airflow", variables).evaluate("__airflow_config.core.executor") == executor
    units = {name: text for component in COMPONENTS for name, text in component_units(component, variables).items()}
    line = f'Environment="AIRFLOW__CORE__EXECUTOR={expected}"'
    assert [name for name, text in units.items() if line in text] == ["airflow-scheduler.service"]
    assert [name for name, text in units.items() if "AIRFLOW__CORE__EXECUTOR" in text] == ["airflow-scheduler.service"]


def test_the_digest_alone_does_not_help_to_guess_a_password(before: dict[str, str]) -> None:
    """Units are readable for everybody: without the Fernet key, a guess at a password cannot be tried out."""
    key = {"airflow_fernet_key": "YW5vdGhlci1mZXJuZXQta2V5LW9mLTMyLWJ5dGVzISE="}
    assert checksums(key)["worker"] != before["worker"]
    assert "fernet_key" not in Role("airflow").evaluate("airflow_components['worker'].credentials")


def test_limits_of_one_component_leave_the_others_alone() -> None:
    limits = {"airflow_resource_limits": {"triggerer": {"MemoryMax": "1G"}}}
    changed = [
        component for component in COMPONENTS if component_units(component) != component_units(component, limits)
    ]
    assert changed == ["triggerer"]


def test_a_host_gets_the_credentials_of_its_components_only() -> None:
    def of(*components: str) -> list[str]:
        found: list[str] = Role("airflow", {"airflow_components": programs({}, *components)}).evaluate(
            "__airflow_held | list"
        )
        return found

    assert of("worker") == ["api_secret_key", "broker_url.default", "results_url"]
    assert of("dag_processor", "postgresql") == ["database_url", "fernet_key"]
    assert of("postgresql", "redis") == []


# What other programs say of the files.


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not here")
@pytest.mark.parametrize("component", COMPONENTS)
def test_systemd_understands_the_units_and_finds_them_closed(component: str, tmp_path: Path) -> None:
    version = subprocess.run(["systemd-analyze", "--version"], capture_output=True, check=True, text=True).stdout
    facts = FACTS | {"systemd": {"version": int(version.split()[1])}}
    # systemd-analyze asks whether the program is there.
    variables = {"ansible_facts": facts, "airflow_install_directory": str(tmp_path)} | WORKERS
    program = Path(Role("airflow", variables).evaluate("airflow_release.directory"), "bin", "airflow")
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    for name, text in component_units(component, variables).items():
        path = tmp_path / name
        # The exception of one worker is no measure for the others; and systemd 252, which sets PrivateMounts by itself
        # for a running unit, does not count it in a file.
        path.write_text(
            text.replace("\nMemoryDenyWriteExecute=no\n", "\nMemoryDenyWriteExecute=yes\n").replace(
                "\n[Service]\n", "\n[Service]\nPrivateMounts=yes\n"
            ),
            encoding="utf-8",
        )
        assert_sound(path)
        assert_closed(path)


def assert_sound(*paths: Path) -> None:
    """Fail if systemd finds a fault in units."""
    verify = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *map(str, paths)],
        capture_output=True,
        check=False,
        text=True,
    )
    assert (verify.returncode, verify.stdout + verify.stderr) == (0, "")


def assert_closed(path: Path) -> None:
    """Fail if a unit is more open than ours are."""
    security = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE}", str(path)],
        capture_output=True,
        check=False,
        text=True,
    )
    assert security.returncode == 0, security.stdout.splitlines()[-1]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not here")
def test_systemd_understands_the_cleanup_and_when_it_runs(tmp_path: Path) -> None:
    program = tmp_path / "airstrip-cleanup"
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    units = [tmp_path / f"airstrip-cleanup.{kind}" for kind in ("service", "timer")]
    for path in units:
        text = (GOLDEN / "airflow" / path.name).read_text(encoding="utf-8")
        path.write_text(text.replace("/usr/local/bin/airstrip-cleanup", str(program)), encoding="utf-8")
    assert_sound(*units)
    # As above.
    units[0].write_text(units[0].read_text().replace("\n[Service]\n", "\n[Service]\nPrivateMounts=yes\n"))
    assert_closed(units[0])


def test_the_cleanup_takes_its_arguments() -> None:
    text = (GOLDEN / "airflow" / "airstrip-cleanup.service").read_text(encoding="utf-8")
    command = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    given = load(PROJECT / "roles" / "airflow" / "files" / "airstrip_cleanup.py").arguments(command[0].split()[1:])
    assert (str(given.logs), given.days, given.mb, given.hours) == ("/var/log/airflow", 30, 10240, 24)
    assert list(map(str, given.keep))[-1] == "/srv/own"


@pytest.mark.parametrize(
    ("name", "shell"),
    [
        ("airflow/airflow", "sh"),
        ("airflow/airflow.worker_host", "sh"),
        ("airflow/airflow-celery", "sh"),
        ("airflow_adopt/check_dags", "sh"),
        ("firewall/look.sh", "bash"),
        ("firewall/arm_revert.sh", "bash"),
        ("firewall/keep.sh", "bash"),
    ],
)
def test_commands_are_sound_shell(name: str, shell: str) -> None:
    shellcheck = Path(sys.executable).with_name("shellcheck")
    result = subprocess.run(
        [str(shellcheck), f"--shell={shell}", str(GOLDEN / name)], capture_output=True, check=False, text=True
    )
    assert result.returncode == 0, result.stdout


def test_no_option_of_an_old_installation_is_a_template(tmp_path: Path) -> None:
    """From the proposal, as Ansible reads it in group_vars, to airflow.cfg, as Airflow reads it."""
    path = tmp_path / "adopted.yml"
    path.write_text(Role("airflow_adopt", ADOPTED).render("adopted.yml.j2"), encoding="utf-8")
    variables = DataLoader().load_from_file(str(path), trusted_as_template=True)
    assert set(variables) == {"airflow_database_name", "airflow_config_overrides"}
    directory = tmp_path / "ran"
    parser = ConfigParser()
    parser.read_string(Role("airflow", variables | {"playbook_dir": str(directory)}).render("airflow.cfg.j2"))
    for section, options in ADOPTED["airflow_adopt_proposal"]["variables"]["airflow_config_overrides"].items():
        assert {name: parser[section][name] for name in options} == options
    assert not directory.exists()


def test_the_imagined_host_gives_each_required_variable() -> None:
    tree = Tree()
    required = {name for name, option in tree.all_options.items() if option.get("required")} - tree.passed
    assert required <= set(HOST)
    assert (PROJECT / "roles").is_dir()
