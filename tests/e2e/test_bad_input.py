"""Bad input, fed to `ansible-playbook site.yml --tags validate` on a real host: what it says, and that it stops there.

Inputs that cannot hide each other are fed together, as every run costs seconds: all problems of a host stand in one
message, a line for each. Inventories are made for each run, of a host that a scenario has installed.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from airstrip_certificates import issue
from airstrip_postgresql import sql
from airstrip_site import PROJECT, Site
from cryptography.fernet import Fernet
from preflight import preflight_problems

ALL = ("api_server", "scheduler", "dag_processor", "triggerer", "worker")
STORES = ("postgresql", "redis")
MARKER = "/run/airstrip-test-marker"
# Where programs may be run, unlike below /run.
SCRATCH = "/root/airstrip-test"
WATCHED = f"find /etc /usr/local /opt /srv /var/lib /home -xdev -type f -newer {MARKER}"
# What lives on the host goes on writing meanwhile.
ALIVE = ("/var/lib/postgresql/", "/var/lib/redis/", "/var/lib/airflow/", "/var/lib/systemd/")
# Secrets that are bad, and easy to find in an output.
SHORT_PASSWORD = "Xk9-short"  # noqa: S105
SHORT_KEY = "Qz7-too-short-for-a-key"
BAD_FERNET_KEY = "Vv3-this-is-no-fernet-key-at-all-Vv3"
EXAMPLE_WORD = "changeme-changeme-changeme-changeme-please"
AUTHORITY, OTHER_AUTHORITY = issue("authority"), issue("other authority")
LOCAL = ("node-1", "127.0.0.1")
# A second host: an address of documentation, which is no machine's.
# One where nothing answers, at once.
DEAD = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
PAIR: Mapping[str, Mapping[str, Any]] = {"node-1": {}, "second": {"site_host_address": "192.0.2.9"}}


@dataclass(frozen=True)
class Run:
    """One run of the checks: what differs from a site that works."""

    groups: Sequence[str] = (*STORES, *ALL)
    variables: Mapping[str, Any] = field(default_factory=dict)
    # Variables of each host; all of them lead to the same machine, unless they say otherwise.
    hosts: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"node-1": {}})
    # Groups that are none of the site's, and a host in each.
    more_groups: Mapping[str, str] = field(default_factory=dict)
    limit: str = "all"
    # Shell commands on the host before and after the run.
    before: str = "true"
    after: str = "true"


# A Redis with a password. Its program is this one, by the name that it is called; its package makes a user.
BROKER_PACKAGE = "apt-get -qq install -y --no-install-recommends redis-tools >/dev/null"
BROKER = (
    'systemd-run --quiet --collect --unit=broker bash -c \'exec -a redis-server redis-check-rdb --port 63998 --save ""'
    " --requirepass its-own' && timeout 9 sh -c 'until ss -lnt | grep -q :63998; do sleep 0.1; done'"
)

RUNS = {
    "monitoring": Run(
        more_groups={"monitoring": "node-1"},
        variables={
            "prometheus_endpoints": [{"name": "shop", "targets": ["shop.example.com:9100"], "scheme": "http"}],
            "prometheus_rule_files": [str(PROJECT / "site.yml"), "/nowhere/rules.yml"],
            "prometheus_external_labels": {"cost-centre": "a"},
        },
    ),
    "dashboards": Run(
        more_groups={"monitoring": "node-1", "grafana": "node-1"},
        variables={
            "grafana_package_file": "/nowhere/grafana.deb",
            "grafana_dashboard_directories": [str(PROJECT / "tests/e2e/files/no_dashboards")],
        },
    ),
    "nowhere": Run(more_groups={"monitoring": "node-1", "grafana": "node-1"}),
    "flower": Run(more_groups={"flower": "node-1"}, variables={"site_flower_worker": "lost"}),
    "placement": Run(groups=("api_server",)),
    "celery_alone": Run(groups=("postgresql", "api_server", "scheduler", "dag_processor", "triggerer")),
    "idle_worker": Run(variables={"site_executor": "LocalExecutor"}),
    "secrets": Run(
        variables={
            "airflow_fernet_key": BAD_FERNET_KEY,
            "airflow_jwt_secret": SHORT_KEY,
            "airflow_api_secret_key": EXAMPLE_WORD,
            "airflow_database_password": SHORT_PASSWORD,
            "airflow_results_database_password": "airflow-airflow-airflow",
            "airflow_broker_password": "a" * 20,
            "airflow_admin_password": "admin",
            "redis_admin_password": "",
            "postgresql_roles": [{"name": "app", "password": SHORT_PASSWORD}],
        }
    ),
    "more_secrets": Run(
        variables={
            "airflow_fernet_key": ",".join([Fernet.generate_key().decode()] * 2).replace(",", f",{BAD_FERNET_KEY},"),
            "airflow_jwt_secret": "1234567890123456",
            "airflow_api_secret_key": f"{SHORT_KEY}\n",
            "airflow_database_password": "abcdefghijklmnopqrstuv",
        }
    ),
    "variables": Run(
        variables={
            "airflow_version": "3.3.2",
            "airflow_extras": ["amazon"],
            "site_exekutor": "LocalExecutor",
            "site_workers": "default",
            "site_redis_engine": "rabbit",
            "site_plain_http_allowed": "perhaps",
            "site_home": "var/lib/airflow",
            "site_certificate_renew_days": "soon",
            "site_status_muted": {"drained": "2027-01-31T12:00:00Z", "disk-low": "soon"},
            "site_database_extra_clients": [{"database": "app", "user": "app"}],
            "site_host_address": "2001:db8::7",
            "site_database_host": "127.0.0.1",
            "site_broker_host": "127.0.0.1",
            "site_virtual_address": "192.0.2.77",
        }
    ),
    "more_names": Run(
        variables={
            "site_database_name": "postgres",
            "site_database_user": "public",
            "site_results_database_name": "all",
            "site_results_database_user": "o'brien",
            "postgresql_databases": [{"name": "my shop", "owner": "shop"}],
            "postgresql_roles": [{"name": "none"}],
            "airflow_base_url": "https://tools.example.com/airflow",
            "airflow_config_overrides": {
                "core": {"auth_manager": "SimpleAuthManager"},
                "scheduler": {"dag_dir_list_interval": 60},
                "api": {"base_url": "tools.example.com"},
            },
            "airflow_environment": {"AIRFLOW__CORE__AUTH_MANAGER": "KeycloakAuthManager"},
            "preflight_firewall_enabled": True,
            "firewall_ssh_sources": ["somewhere"],
            "firewall_egress_enabled": True,
            "firewall_egress_destinations": [
                {"comment": "S3", "port": 443, "destinations": ["s3.example.com"]},
                {"comment": "mail", "port": 65536, "destinations": ["192.0.2.25"]},
                {"comment": "nowhere", "port": 443},
                {"comment": "ping", "protocol": "icmp", "destinations": ["192.0.2.1"]},
            ],
            "site_workers": [
                {"queues": ["a"]},
                {"name": "none", "queues": ["b"], "concurrency": 0},
                {"name": "words", "queues": ["c"], "concurrency": "four"},
                {"name": "both", "queues": ["d"], "concurrency": 2, "autoscale": {"min": 1, "max": 2}},
                {"name": "half", "queues": ["e"], "autoscale": {"max": 2}},
                {"name": "blank", "queues": ["b c"]},
                {"name": "n" * 240, "queues": ["f"]},
            ],
        },
        before="touch /var/lib/airflow/webserver_config.py",
        after="rm /var/lib/airflow/webserver_config.py",
    ),
    # As on a fresh clone, and with the secrets of another site.
    "no_secrets": Run(variables={"site_secrets_file": "/nowhere/.secrets.yml"}),
    "other_secrets": Run(variables={"airflow_fernet_key": Fernet.generate_key().decode()}),
    "names": Run(
        variables={
            "site_database_name": "air flow",
            "site_database_user": "pg_airflow",
            "site_results_database_name": "template1",
            "site_results_database_user": "r" * 64,
            "site_api_server_port": 5432,
            "site_triggerer_log_port": 99999,
            "preflight_firewall_enabled": True,
            "firewall_egress_enabled": True,
            "site_log_days": -1,
            "site_log_mb": "10 GB",
            "site_journal_days": "a month",
            "site_bundle_version_hours": 0.5,
            "airflow_config_overrides": {"core": {"paralelism": 5}, "schedular": {"parsing_processes": 2}},
            "site_workers": [
                {"name": "de fault", "queues": ["default"], "concurrency": 900},
                {"name": "twice", "queues": ["a,b"]},
                {"name": "twice", "queues": []},
                {"name": "upside-down", "queues": ["c"], "autoscale": {"min": 8, "max": 2}},
            ],
        }
    ),
    "no_lock": Run(
        variables={
            "site_airflow_version": "3.0.6",
            "site_install_directory": f"{SCRATCH}/none",
            "airflow_release_package_index_enabled": False,
        }
    ),
    "downgrade": Run(
        variables={
            "site_airflow_version": "3.1.7",
            "airflow_jwt_secret": secrets.token_urlsafe(64),
            "airflow_database_password": secrets.token_urlsafe(24),
        }
    ),
    "groups": Run(more_groups={"airflow_workers": "astray", "retired": "node-1"}),
    "jump": Run(
        variables={"site_install_directory": f"{SCRATCH}/airflow-2", "site_uid": 34, "site_gid": 34},
        before=(
            f"mkdir -p {SCRATCH}/airflow-2 && ln -sfn releases/2.10.5-0123456789ab {SCRATCH}/airflow-2/current"
            f" && chown backup {SCRATCH}/airflow-2"
        ),
    ),
    "system": Run(
        variables={"airflow_release_python": "/usr/bin/python3.9"},
        before=(
            f"mkdir -p {SCRATCH} && echo 11.11 >{SCRATCH}/debian_version"
            f" && sed -e 's/^VERSION_ID=.*/VERSION_ID=\"11\"/' -e 's/(bookworm)/(bullseye)/'"
            f" -e 's/(trixie)/(bullseye)/' /etc/os-release >{SCRATCH}/os-release"
            f" && mount --bind {SCRATCH}/os-release $(readlink -f /etc/os-release)"
            f" && mount --bind {SCRATCH}/debian_version /etc/debian_version"
            f" && touch {SCRATCH}/machine-id && mount --bind {SCRATCH}/machine-id /etc/machine-id"
        ),
        after="umount $(readlink -f /etc/os-release) /etc/debian_version /etc/machine-id",
    ),
    "disk": Run(
        variables={
            "site_install_directory": f"{SCRATCH}/small",
            "site_user": "backup",
            "site_group": "backup",
            "site_broker_port": 63999,
            "airflow_dags_folder": "/nowhere/dags",
        },
        before=(
            f"mkdir -p {SCRATCH}/small && mount -t tmpfs -o size=10m,noexec tmpfs {SCRATCH}/small"
            " && systemd-run --quiet --collect --unit=squatter python3 -m http.server 63999"
            " && timeout 9 sh -c 'until ss -lnt | grep -q :63999; do sleep 0.1; done'"
        ),
        after=f"umount {SCRATCH}/small && systemctl stop squatter",
    ),
    "endpoints": Run(
        groups=ALL,
        variables={
            "site_database_host": "127.0.0.1",
            "site_database_port": 54399,
            "site_broker_host": "127.0.0.1",
            "site_broker_port": 63999,
            "airflow_release_package_index_url": "http://127.0.0.1:39999/simple",
            "site_install_directory": f"{SCRATCH}/none",
            "preflight_connect_timeout": 2,
        },
    ),
    "addresses": Run(
        hosts={
            "node-1": {},
            "twin": {},
            "inward": {"site_host_address": "127.0.0.1"},
            "unknown": {"site_host_address": "no-such-host.invalid"},
        }
    ),
    "dead": Run(hosts={"node-1": {}, "gone": DEAD}),
    "unknown": Run(hosts={"node-1": {}, "gone": DEAD}, limit="node-1"),
    "clones": Run(hosts={**PAIR, "second": {**PAIR["second"], "site_http_proxy": "http://192.0.2.1:3128"}}),
    "renamed": Run(
        hosts=PAIR,
        before=f"""hostname >{MARKER}-name; python3 -c 'import socket; socket.sethostname("a\\n192.0.2.1 pypi.org")'""",
        after=f"hostname -F {MARKER}-name",
    ),
    "balancers": Run(
        groups=(*STORES, *ALL, "load_balancer"),
        hosts=PAIR,
        variables={"site_https_port": 8080, "airflow_ca_key": ""},
    ),
    "elsewhere": Run(
        groups=(*STORES, *ALL, "load_balancer"), hosts=PAIR, variables={"site_virtual_address": "192.0.2.100"}
    ),
    "taken": Run(
        groups=(*STORES, *ALL, "load_balancer"),
        hosts=PAIR,
        variables={"site_virtual_address": "{{ ansible_facts['default_ipv4']['gateway'] }}"},
    ),
    "certificates": Run(
        groups=(*STORES, *ALL, "load_balancer"),
        hosts=PAIR,
        variables={
            "site_virtual_address": "192.0.2.100",
            "airflow_ca_certificate": AUTHORITY.pem,
            "airflow_ca_key": AUTHORITY.key,
            "airflow_certificates": {
                "expired": vars(issue("x", AUTHORITY, LOCAL, days=(-9, -2))),
                "other_name": vars(issue("x", AUTHORITY, ("other.example.com",))),
                "other_authority": vars(issue("x", OTHER_AUTHORITY, LOCAL)),
                "good": vars(issue("x", AUTHORITY, ("192.0.2.100",))),
            },
            "redis_certificate": "{{ airflow_certificates.expired.pem }}",
            "redis_certificate_key": "{{ airflow_certificates.expired.key }}",
            "postgresql_certificate": "{{ airflow_certificates.other_name.pem }}",
            "postgresql_certificate_key": "{{ airflow_certificates.other_name.key }}",
            "airflow_api_server_certificate": "{{ airflow_certificates.other_authority.pem }}",
            "airflow_api_server_certificate_key": "{{ airflow_certificates.other_authority.key }}",
            "haproxy_certificate": "{{ airflow_certificates.good.pem }}",
            "haproxy_certificate_key": "{{ airflow_certificates.expired.key }}",
        },
    ),
    # As if somebody else had set the host's PostgreSQL up, and a Redis that is stopped.
    "foreign": Run(
        before=(
            "cd /etc/postgresql/*/main && mv conf.d/airstrip.conf pg_hba.conf /root"
            " && echo local all all peer >pg_hba.conf"
            " && cd / && runuser -u postgres -- createdb shop"
            f" && mkdir -p {SCRATCH}/redis /etc/redis && echo REDIS >{SCRATCH}/redis/dump.rdb"
            f" && printf 'port 63999\\ndir {SCRATCH}/redis\\n' >/etc/redis/redis.conf"
        ),
        after=(
            "cd /etc/postgresql/*/main && mv /root/pg_hba.conf . && mv /root/airstrip.conf conf.d"
            " && cd / && runuser -u postgres -- dropdb shop && rm -r /etc/redis"
        ),
    ),
    # Something answers there, as another host's database and broker would.
    "remote": Run(
        groups=ALL,
        variables={
            "site_database_host": "{{ ansible_facts['default_ipv4']['address'] }}",
            "site_database_port": 8080,
            "airflow_database_options": {"sslmode": "require"},
            "site_broker_host": "{{ ansible_facts['default_ipv4']['address'] }}",
            "site_broker_port": 8080,
            "airflow_broker_tls_enabled": False,
        },
    ),
    "no_password": Run(
        groups=ALL,
        variables={
            "site_database_host": "a,b",
            "site_broker_host": f"sentinel://:{SHORT_PASSWORD}@127.0.0.1:26379",
            "airflow_broker_password": "",
            "airflow_config_overrides": {"celery_broker_transport_options": {"master_name": "main"}},
            "preflight_connect_timeout": 2,
        },
    ),
    "other_user": Run(
        groups=("postgresql", *ALL),
        variables={
            "site_broker_host": "127.0.0.1",
            "site_broker_port": 63998,
            "site_broker_user": "",
            "airflow_broker_password": "qV7-another-2bK-one-9wJ",
        },
        before=BROKER,
        after="systemctl stop broker",
    ),
    # PgBouncer before the host's own server, as an external one that the controller reaches, too.
    "pooled": Run(
        groups=("redis", *ALL),
        variables={
            "site_database_host": "{{ ansible_facts['default_ipv4']['address'] }}",
            "site_database_port": 64322,
            "site_plain_database_allowed": True,
            "airflow_database_options": {"sslmode": "prefer"},
        },
        before=(
            "apt-get -qq install -y --no-install-recommends pgbouncer >/dev/null 2>&1 && systemctl stop pgbouncer"
            " && printf '%s\\n' '[databases]' '* = host=/var/run/postgresql user=postgres' '[pgbouncer]' auth_type=any"
            " pool_mode=transaction listen_addr=0.0.0.0 listen_port=64322 unix_socket_dir= >/run/pooler.ini"
            " && systemd-run --quiet --collect --unit=pooler --uid=postgres pgbouncer /run/pooler.ini"
            " && timeout 9 sh -c 'until ss -lnt | grep -q :64322; do sleep 0.1; done'"
        ),
        after="systemctl stop pooler && apt-get -qq purge -y --auto-remove pgbouncer >/dev/null && rm /run/pooler.ini",
    ),
    "nameless": Run(variables={"site_broker_user": ""}),
    # The host's own server by another port, as an external one that the controller reaches, too.
    "external": Run(
        groups=ALL,
        variables={
            "site_database_host": "{{ ansible_facts['default_ipv4']['address'] }}",
            "site_database_port": 54322,
            "site_plain_database_allowed": True,
            "airflow_database_options": {"sslmode": "prefer"},
            "airflow_database_password": "qV7-another-2bK-one-9wJ",
            "site_broker_host": "127.0.0.1",
            "site_broker_port": 63998,
            "airflow_broker_password": SHORT_PASSWORD,
        },
        before=(
            f"{BROKER} && apt-get -qq install -y --no-install-recommends socat >/dev/null && systemd-run --quiet"
            " --collect --unit=relay socat TCP-LISTEN:54322,fork,reuseaddr TCP:127.0.0.1:5432"
            " && timeout 9 sh -c 'until ss -lnt | grep -q :54322; do sleep 0.1; done'"
        ),
        after="systemctl stop broker relay && apt-get -qq purge -y --auto-remove socat >/dev/null",
    ),
    "overridden": Run(
        variables={
            "airflow_config_overrides": {
                "database": {"sql_alchemy_conn": f"postgresql://a:{SHORT_PASSWORD}@b/c"},
                "celery": {"broker_url_cmd": "echo redis://127.0.0.1:6379/5"},
                "sentry": {"sentry_dsn": SHORT_KEY},
            },
            "airflow_environment": {"AIRFLOW__CORE__FERNET_KEY": BAD_FERNET_KEY},
        },
    ),
    # apt is asked where a component is new, as Redis is here.
    "sources": Run(
        before=(
            f"mkdir -p {SCRATCH} && cp -a /etc/apt/sources.list.d {SCRATCH}"
            f" && echo 'deb http://127.0.0.1:39999/debian trixie main' >{SCRATCH}/sources.list.d/gone.list"
            f" && echo 'deb cdrom:[Debian 13 DVD]/ trixie main' >{SCRATCH}/sources.list.d/dvd.list"
            f" && mount --bind {SCRATCH}/sources.list.d /etc/apt/sources.list.d"
        ),
        after="umount /etc/apt/sources.list.d",
    ),
    "plain": Run(hosts={"node-1": {"site_host_address": "8.8.8.8"}}),
    "clocks": Run(
        hosts={
            "node-1": {},
            "late": {"site_host_address": "192.0.2.9", "ansible_python_interpreter": f"{SCRATCH}/python-30-s-late"},
        },
        before=(
            "apt-get -qq install -y --no-install-recommends faketime >/dev/null"
            f" && mkdir -p {SCRATCH}"
            f" && printf '#!/bin/sh\\nexec faketime -f -30s /usr/bin/python3 \"$@\"\\n' >{SCRATCH}/python-30-s-late"
            f" && chmod 0755 {SCRATCH}/python-30-s-late"
        ),
        after="apt-get -qq purge -y --auto-remove faketime >/dev/null",
    ),
}

# What is refused, in which run, and parts that one line of the message must have: variable or place, finding, remedy.
CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "no postgresql": ("placement", ("No host runs postgresql", "group postgresql", "site_database_host")),
    "no redis": ("placement", ("No host runs redis", "CeleryExecutor", "group redis", "site_broker_host")),
    "no scheduler": ("placement", ("No host runs scheduler", "group airflow_scheduler")),
    "no dag processor": ("placement", ("No host runs dag_processor", "group airflow_dag_processor")),
    "no triggerer": ("placement", ("No host runs triggerer", "group airflow_triggerer")),
    "no worker": ("placement", ("No host runs worker", "CeleryExecutor", "group airflow_worker")),
    "celery without broker": ("celery_alone", ("No host runs redis (site_executor is Celery", "Put a host")),
    "celery without worker": ("celery_alone", ("No host runs worker (site_executor is Celery", "Put a host")),
    "local executor with worker": ("idle_worker", ("site_executor is LocalExecutor", "node-1", "Empty it")),
    "fernet key": ("secrets", ("airflow_fernet_key is no Fernet key", "openssl rand -base64 32")),
    "short jwt secret": ("secrets", ("airflow_jwt_secret has 23 characters", "at least 32", "openssl rand")),
    "example api secret": ("secrets", ("airflow_api_secret_key is the word from an example", "openssl rand")),
    "short database password": ("secrets", ("airflow_database_password has 9 characters", "at least 16", "openssl")),
    "word as results password": ("secrets", ("airflow_results_database_password is the word from", "openssl rand")),
    "repetition as broker password": ("secrets", ("airflow_broker_password is a repetition", "openssl rand")),
    "admin as admin password": ("secrets", ("airflow_admin_password is the word from an example", "openssl rand")),
    "empty redis password": ("secrets", ("redis_admin_password is not set", "openssl rand")),
    "short role password": ("secrets", ("postgresql_roles[app].password has 9 characters", "at least 16", "openssl")),
    "fernet key among others": ("more_secrets", ("airflow_fernet_key is no Fernet key", "openssl rand -base64 32")),
    "key that counts": ("more_secrets", ("airflow_jwt_secret is a repetition or a sequence", "openssl rand")),
    "key with a newline": ("more_secrets", ("airflow_api_secret_key contains a newline", "openssl rand")),
    "sequence as a password": ("more_secrets", ("airflow_database_password is a repetition or a seq", "openssl rand")),
    "input of a role": ("variables", ("airflow_version is set", "set site_airflow_version in its place")),
    "old name of an input": ("variables", ("airflow_extras is set", "airflow_release_extras now: set that")),
    "misspelt variable": ("variables", ("site_exekutor is no variable of the site", "Did you mean site_executor")),
    "text as a list": ("variables", ("site_workers is 'default'", "Set it to a list")),
    "unknown engine": ("variables", ("site_redis_engine is 'rabbit'", "Set it to one of redis, valkey")),
    "neither true nor false": ("variables", ("site_plain_http_allowed is 'perhaps'", "Set it to true or false")),
    "relative path": ("variables", ("site_home is 'var/lib/airflow'", "Set it to an absolute path")),
    "days in words": ("variables", ("site_certificate_renew_days is 'soon'", "Set it to a whole number")),
    "muted code": ("variables", ("site_status_muted: 'drained' is no code", "docs/operations-status.md has them")),
    "muted until soon": ("variables", ("site_status_muted: disk-low has the time 'soon'", "Write it as 2027-01-31T")),
    "client without address": ("variables", ("site_database_extra_clients", "has no address", "Say from where")),
    "address of IPv6": ("variables", ("node-1 has the address 2001:db8::7", "Give the host an IPv4 address")),
    "two databases": ("variables", ("site_database_host is 127.0.0.1, and node-1 runs postgresql", "Empty the var")),
    "two brokers": ("variables", ("site_broker_host is 127.0.0.1, and node-1 runs redis", "Empty the variable")),
    "address without load balancer": ("variables", ("192.0.2.77, and no host is a load balancer", "Put two hosts")),
    "value that differs": ("clones", ("site_http_proxy is", "it is the site's: set it once, in group_vars/all")),
    "database postgres": ("more_names", ("site_database_name: the name 'postgres' is reserved", "Use letters")),
    "role public": ("more_names", ("site_database_user: the name 'public' is reserved", "Use letters")),
    "database all": ("more_names", ("site_results_database_name: the name 'all' is reserved", "Use letters")),
    "role with a quote": ("more_names", ("site_results_database_user", "contains characters", "Use letters")),
    "database of the user's": ("more_names", ("postgresql_databases: the name 'my shop' contains", "Use letters")),
    "role of the user's": ("more_names", ("postgresql_roles: the name 'none' is reserved", "Use letters")),
    "path in the URL": ("more_names", ("airflow_base_url is https://tools.example.com/airflow", "take the path out")),
    "auth manager": ("more_names", ("core.auth_manager is SimpleAuthManager", "Take it out", "site_ldap and site_oa")),
    "auth manager by environment": ("more_names", ("airflow_environment: core.auth_manager is Keyc", "Take it out")),
    "URL that is none": ("more_names", ("api.base_url is 'tools.example.com', which is no URL", "Write it as https")),
    "option of Airflow 2": ("more_names", ("dag_dir_list_interval' is unk", "called 'dag_processor.refresh_int")),
    "network of SSH": ("more_names", ("firewall_ssh_sources: 'somewhere' is neither", "Write it like 192.0.2.10")),
    "destination by name": ("more_names", ("'s3.example.com', a destination of", "Write it like 192.0.2.10")),
    "port of a destination": ("more_names", ("the port of 'mail' is '65536'", "Use a port between 1 and 65535")),
    "no destination": ("more_names", ("'nowhere' has no destinations", "Give it addresses and networks")),
    "protocol of a destination": ("more_names", ("the protocol of 'ping' is 'icmp'", "Use tcp or udp")),
    "no way to packages": ("names", ("nothing lets the host out to pypi.org, port 443", "Add its address or its netw")),
    "name servers": ("names", ("firewall_egress_resolvers: of the name servers", "Set it to the addresses of those")),
    "worker without name": ("more_names", ("site_workers: a worker has no name", "Give it one")),
    "no slots": ("more_names", ("the worker none has the concurrency 0", "Set it to a whole number, at least 1")),
    "slots in words": ("more_names", ("the worker words has the concurrency 'four'", "Set it to a whole number")),
    "slots twice": ("more_names", ("the worker both has both concurrency and autoscale", "Keep one of them")),
    "half an autoscale": ("more_names", ("the worker half needs autoscale.min and autoscale.max", "Set them to")),
    "queue with a blank": ("more_names", ("site_workers: a queue cannot be named 'b c'", "Use letters")),
    "long name of a worker": ("more_names", ("site_workers: with 240 characters the unit's name", "Shorten it")),
    "file that is overlooked": ("more_names", ("webserver_config.py would be overlooked", "remove the file")),
    "way that is open": ("jump", ("airflow_install_directory is", "backup may write", "Give it to root alone (chown")),
    "another user": ("disk", ("site_user is 'backup', and the site was installed with 'airflow'", "Set it back")),
    "another group": ("disk", ("site_group is 'backup', and the site was installed with 'airfl", "Set it back")),
    "database that leaves": ("remote", ("postgresql would leave the host, with data", "Put the host back")),
    "endpoint in the clear": ("monitoring", ("shop asks shop.example.com:9100 without TLS", "plain_allowed to true")),
    "rules that are none": ("monitoring", ("prometheus_rule_files:", "it has no list 'groups'", "Correct the file")),
    "rules that are not there": ("monitoring", ("/nowhere/rules.yml is not there", "Take it out of the list")),
    "label": ("monitoring", ("prometheus_external_labels", "cost-centre")),
    "dashboard that is no JSON": ("dashboards", ("no_dashboards/report.json is no JSON",)),
    "grafana from nowhere": ("nowhere", ("grafana_repository: no distribution has Grafana", "grafana_package_file")),
    "nobody to see flower": ("flower", ("The group flower has a host, and site_viewers is empty", "Name people")),
    "workers that flower cannot show": ("flower", ("site_flower_worker is 'lost', and no worker", "Set it to one of")),
    "secrets that hosts have": ("no_secrets", ("airflow_jwt_secret", "in use on node-1", "recover_secrets")),
    "another fernet key": ("other_secrets", ("airflow_fernet_key does not have the key", "node-1", "after a comma")),
    "database name": ("names", ("site_database_name: the name 'air flow' contains", "Use letters")),
    "reserved role": ("names", ("site_database_user: the name 'pg_airflow' is reserved", "Use letters")),
    "reserved database": ("names", ("site_results_database_name: the name 'template1' is reserved", "Use letters")),
    "long role": ("names", ("site_results_database_user", "is longer than PostgreSQL's 63 bytes", "Use letters")),
    "unit name": ("names", ("site_workers: systemd refuses 'de fault'", "Use letters")),
    "queue name": ("names", ("site_workers: a queue cannot be named 'a,b'", "Use letters")),
    "worker twice": ("names", ("site_workers: 2 workers have the name twice", "must differ")),
    "worker without queue": ("names", ("site_workers: the worker twice has no queues", "List one")),
    "autoscale upside down": ("names", ("the worker upside-down has autoscale.min above", "Exchange")),
    "port used twice": ("names", ("port 5432 is used by site_api_server_port and site_data", "Give")),
    "port out of range": ("names", ("site_triggerer_log_port is 99999", "between 1 and 65535")),
    "days before now": ("names", ("site_log_days is -1", "Set it to a whole number from 0")),
    "size with a unit": ("names", ("site_log_mb is '10 GB'", "Set it to a whole number from 0")),
    "days as words": ("names", ("site_journal_days is 'a month'", "Set it to a whole number from 0")),
    "half an hour": ("names", ("site_bundle_version_hours is 0.5", "Set it to a whole number from 0")),
    "unknown option": ("names", ("airflow_config_overrides", "paralelism", "parallelism")),
    "unknown section": ("names", ("airflow_config_overrides", "schedular", "scheduler")),
    "too little memory": ("names", ("MB of memory, and its components need", "Give it more")),
    "version without lock": ("no_lock", ("no lock for Airflow 3.0.6", "airflow_release_constraints", "bin/lock 3.0.6")),
    "key that cuts off": (
        "downgrade",
        ("airflow_jwt_secret has changed", "what runs on node-1 has the old", "Set the old one", "playbooks/stop.yml"),
    ),
    "password that cuts off": (
        "downgrade",
        ("airflow_database_password has changed", "Set the old one", "stop.yml", "name it in preflight_new_secrets"),
    ),
    "group that is misspelt": (
        "groups",
        ("The inventory group airflow_workers is none of the site's", "on astray", "Did you mean airflow_worker?"),
    ),
    "host that is retired and in use": ("groups", ("node-1 is in the group retired and in", "Take it out of one")),
    "downgrade": ("downgrade", ("site_airflow_version: 3.1.7 is older than the installed 3.3.2", "db downgrade")),
    "jump from airflow 2": ("jump", ("Airflow 2.10.5 is installed", "Upgrading to Airflow 3")),
    "operating system": ("system", ("the operating system is Debian 11", "Use Debian 12 or 13")),
    "python": ("system", ("airflow_release_python is Python not there", "3.11, 3.12 or 3.13")),
    "too little disk": ("disk", (f"{SCRATCH}/small has", "MB free, and 2000 MB are needed", "Free space")),
    "file system without programs": ("disk", (f"{SCRATCH}/small is on a file system", "noexec", "Mount it with exec")),
    "port of somebody else": ("disk", ("site_broker_port: port 63999 is held by python3 (squatter", "Stop it")),
    "folder that is not there": ("disk", ("airflow_dags_folder is /nowhere/dags", "no such dir", "Make it, or leave")),
    "user with another id": ("disk", ("site_user: there is a user backup with the id 34", "Set site_uid to 34")),
    "group with another id": ("disk", ("site_group: there is a group backup with the id 34", "Set site_gid to 34")),
    "id of another user": ("jump", ("site_uid: the id 34 is that of the user backup", "Set site_uid to one")),
    "id of another group": ("jump", ("site_gid: the id 34 is that of the group backup", "Set site_gid to one")),
    "database that does not answer": ("endpoints", ("site_database_host: 127.0.0.1", "port 54399", "Correct")),
    "broker that does not answer": ("endpoints", ("site_broker_host: 127.0.0.1", "port 63999", "Correct")),
    "index that does not answer": (
        "endpoints",
        ("airflow_release_package_index_url: 127.0.0.1", "port 39999", "Correct"),
    ),
    "same address": ("addresses", ("node-1 and twin have the same address", "Set site_host_address")),
    "loopback address": ("addresses", ("inward has the address 127.0.0.1", "Set site_host_address")),
    "address of no interface": ("plain", ("site_host_address is 8.8.8.8, and no interf", "address_translated to true")),
    "unresolvable address": ("addresses", ("unknown has the address no-such-host", "is no IP", "Set site_host")),
    "dead host": ("dead", ("gone does not answer", "Bring it back, or leave it out by --limit 'all,!gone'")),
    "dead host that is not known": ("unknown", ("gone does not answer", "does not say what", "site_known_facts")),
    "name of another host": ("clones", ("second: the host calls itself 'node-1'", "the host node-1 of", "hostnamectl")),
    "clone": ("clones", ("node-1 and second have the same machine id", "Run on each but node-1", "machine-id-setup")),
    "no machine id": ("system", ("node-1: there is no machine id", "systemd-machine-id-setup", "and reboot")),
    "name that is none": ("renamed", (r"itself 'a\n192.0.2.1 pypi.org'", "is no host name", "hostnamectl")),
    "load balancers without address": ("balancers", ("site_virtual_address is empty", "second", "Set it to a free")),
    "port of a load balancer": ("balancers", ("port 8080 is used by site_api_server_port and site_https", "Give")),
    "authority without key": ("balancers", ("airflow_ca_key is empty", "has to sign", "postgresql-node-1", "Set it")),
    "address of another network": ("elsewhere", ("site_virtual_address: 192.0.2.100 is not in", "Set it to a free")),
    "address that is taken": ("taken", ("site_virtual_address", "is taken", "hardware address", "Set it to a free")),
    "expired certificate": ("certificates", ("redis_certificate: the certificate expired on", "Replace it")),
    "name of a certificate": ("certificates", ("postgresql_certificate: the certificate is not valid for", "Replace")),
    "chain of a certificate": ("certificates", ("airflow_api_server_certificate: the", "is not signed by", "Replace")),
    "key of a certificate": ("certificates", ("haproxy_certificate: the", "not belong to its private key", "Replace")),
    "database of others": ("foreign", ("a PostgreSQL that Airstrip has not set up", "shop", "postgresql_takeover_all")),
    "broker of others": ("foreign", ("a Redis that Airstrip has not set up", "dump.rdb", "redis_takeover_allowed")),
    "database in the clear": ("remote", ("site_database_host: the password", "verify-full", "site_plain_data")),
    "broker in the clear": ("remote", ("site_broker_host: the password", "airflow_broker_tls_enabled", "plain_bro")),
    "password of an external database": ("external", ("does not let airflow into", "Correct airflow_database_pass")),
    "external database of results": ("external", ("not let airflow_results into", "CREATE DATABASE", "celery_results")),
    "reader of results": ("external", ("not let airflow_results_reader into", "Correct airflow_results_reader_pass")),
    "password of an external broker": ("external", ("127.0.0.1 does not let the user airflow", "WRONGPASS", "Correct")),
    "broker that is none": ("remote", ("does not answer as a Redis does", "Set site_broker_host and site_broker_port")),
    "user of an external broker": ("other_user", ("somebody without a user's name", "WRONGPASS", "site_broker_user")),
    "broker without a password": ("no_password", ("airflow_broker_password is not set", "site_open_broker_allowed to")),
    "sentinel as a broker": ("no_password", ("site_broker_host has to be one host", "Sentinel", "name the server")),
    "sentinel as an override": ("no_password", ("master_name is for Redis Sentinel", "Take it out")),
    "several databases": ("no_password", ("site_database_host has to be one host", "site_database_port to its port")),
    "broker's user without a name": ("nameless", ("site_broker_user is empty, and node-1 runs redis", "Set it to a")),
    "pooled transactions": ("pooled", ("pools transactions", "Name PostgreSQL itself", "pool_mode = session")),
    "database as an override": ("overridden", ("database.sql_alchemy_conn is a credential", "site_database_host")),
    "broker as a command": ("overridden", ("celery.broker_url_cmd is a credential", "site_broker_host")),
    "secret as an override": ("overridden", ("sentry.sentry_dsn is a secret to Airflow", "sentry.sentry_dsn_cmd")),
    "secret in the environment": ("overridden", ("airflow_environment: core.fernet_key", "Set airflow_fernet_key")),
    "plain on a public address": ("plain", ("8.8.8.8 is a public address", "site_plain_http_allowed to true")),
    "packages on a disc": ("sources", ("sources.list.d/dvd.list names a disc", "cdrom:", "Put a # before")),
    "packages of nobody": ("sources", ("127.0.0.1:39999/debian trixie", "Could not connect", "site_http_proxy and")),
    "clocks apart": ("clocks", ("The clocks of late and node-1 are", "s apart, and 5 s are allowed", "Synchronise")),
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: int
    output: str
    changed: Mapping[str, int]

    def has_line(self, parts: Sequence[str]) -> bool:
        """Whether one line of the output has all `parts`. Ansible folds long lines at spaces."""
        unfolded = re.sub(r"\n\s+(?=\S)", "\n", self.output)
        lines = [*unfolded.splitlines(), " ".join(self.output.split())]
        return any(all(part in line for part in parts) for line in lines)


def write_inventory(directory: Path, site: Site, run: Run) -> Path:
    """Write the inventory of a run, with the wiring that every inventory has; return its directory."""
    original = site.inventory["_meta"]["hostvars"][site.group("airflow_scheduler")[0]]
    reach = {name: value for name, value in original.items() if name.startswith("ansible_")}
    kept = {name: original[name] for name in ("site_secrets_file", "base_ca_certificates")}
    hosts = {name: reach | kept | dict(variables) for name, variables in run.hosts.items()}
    first = {next(iter(hosts)): None}
    groups: dict[str, Any] = {name: {"hosts": first} for name in run.groups if name in STORES}
    if "load_balancer" in run.groups:
        groups["load_balancer"] = {"hosts": dict.fromkeys(hosts)}
    components = {f"airflow_{name}": {"hosts": first} for name in ALL if name in run.groups}
    groups["airflow"] = {"hosts": dict.fromkeys(hosts), "children": components}
    directory.mkdir()
    groups |= {name: {"hosts": {member: None}} for name, member in run.more_groups.items()}
    content = {"all": {"hosts": hosts, "children": groups}}
    (directory / "hosts.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
    (directory / "group_vars" / "all").mkdir(parents=True)
    (directory / "group_vars" / "all" / "00_wiring.yml").symlink_to(PROJECT / "inventory" / "wiring.yml")
    return directory


@contextmanager
def prepared(node: Any, run: Run) -> Iterator[None]:
    """Make the host as the run wants it, and again as it was."""
    node.check_output(run.before)
    try:
        yield
    finally:
        node.check_output(run.after)


class Runs:
    """Runs of the checks, each made once."""

    def __init__(self, site: Site, node: Any, directory: Path) -> None:
        self._site, self._node, self._directory = site, node, directory
        self._outcomes: dict[str, Outcome] = {}

    def outcome(self, name: str) -> Outcome:
        """Return how the run of a name ended."""
        if name not in self._outcomes:
            self._outcomes[name] = self._run(name)
        return self._outcomes[name]

    def _run(self, name: str) -> Outcome:
        run = RUNS[name]
        inventory = write_inventory(self._directory / name, self._site, run)
        variables = self._directory / f"{name}.yml"
        variables.write_text(yaml.safe_dump(dict(run.variables)), encoding="utf-8")
        site = Site(self._site.scenario, self._site.directory, [f"--inventory={inventory}"])
        with prepared(self._node, run):
            options = ("--tags", "validate", "--limit", run.limit, "-e", f"@{variables}", "--diff")
            result = site.command("ansible-playbook", "site.yml", *options)
        recap = re.findall(r"^(\S+) +: ok=\d+ +changed=(\d+) ", result.stdout, flags=re.MULTILINE)
        return Outcome(result.returncode, result.stdout + result.stderr, {host: int(count) for host, count in recap})


@pytest.fixture(scope="module")
def runs(site: Site, node: Any, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    node.check_output(f"{BROKER_PACKAGE} && touch {MARKER}")
    return Runs(site, node, tmp_path_factory.mktemp("bad-input"))


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_refused(runs: Runs, case: str) -> None:
    name, parts = CASES[case]
    outcome = runs.outcome(name)
    assert outcome.status != 0
    assert outcome.has_line(parts), outcome.output[-6000:]


@pytest.mark.parametrize("name", RUNS)
def test_refusal_changes_nothing(runs: Runs, name: str) -> None:
    outcome = runs.outcome(name)
    assert set(outcome.changed) == set(RUNS[name].hosts if RUNS[name].limit == "all" else [RUNS[name].limit])
    assert set(outcome.changed.values()) == {0}


def test_refusals_tell_no_secret(runs: Runs, site: Site) -> None:
    bad = (SHORT_PASSWORD, SHORT_KEY, BAD_FERNET_KEY, EXAMPLE_WORD, "airflow-airflow-airflow", "a" * 20)
    for name in RUNS:
        output = runs.outcome(name).output
        told = [index for index, value in enumerate([*bad, *site.secrets.values()]) if value in output]
        assert told == [], f"in the run {name}"


def test_refusals_leave_no_trace_on_the_host(runs: Runs, node: Any) -> None:
    for name in RUNS:
        runs.outcome(name)
    node.check_output(f"rm -rf {SCRATCH}")
    changed = [path for path in node.check_output(WATCHED).splitlines() if not path.startswith(ALIVE)]
    # The clock's test installed a package and removed it.
    assert [
        path for path in changed if not path.startswith(("/var/lib/apt/", "/var/lib/dpkg/", "/etc/ld.so.cache"))
    ] == []


def test_a_site_that_was_never_upgraded_has_nothing_to_go_back_to(site: Site) -> None:
    result = site.command("ansible-playbook", "playbooks/rollback.yml")
    assert result.returncode != 0
    assert "there is no backup in" in " ".join(result.stdout.split()), result.stdout[-3000:]


def test_good_input_passes(site: Site, tmp_path: Path) -> None:
    inventory = write_inventory(tmp_path / "good", site, Run())
    good = Site(site.scenario, site.directory, [f"--inventory={inventory}"])
    result = good.command("ansible-playbook", "site.yml", "--tags", "validate")
    assert result.returncode == 0, result.stdout[-4000:]


def test_a_dead_host_that_is_left_out_stops_nobody(site: Site, tmp_path: Path) -> None:
    # Another name than above: what is known of a host is noted for later runs.
    known = {"hostname": "away", "fqdn": "away", "nodename": "away", "memtotal_mb": 4000, "processor_vcpus": 2}
    known_facts = {"site_known_facts": known | {"default_ipv4": {"address": "192.0.2.9"}}}
    run = Run(hosts={"node-1": {}, "away": DEAD | known_facts})
    inventory = write_inventory(tmp_path / "left-out", site, run)
    good = Site(site.scenario, site.directory, [f"--inventory={inventory}"])
    result = good.command("ansible-playbook", "site.yml", "--tags", "validate", "--limit", "!away")
    assert result.returncode == 0, result.stdout[-4000:]


def test_old_database_server_is_refused(node: Any) -> None:
    """An old server is not to be had; the version that the filter judges is a real server's answer."""
    answer = sql(node, "SELECT current_setting('server_version_num')::int", "postgres")
    found = {"version_num": int(answer), "minimum": int(answer) // 10000 + 1}
    (problem,) = preflight_problems({"database": found})
    assert problem.startswith(f"site_database_host: the server is PostgreSQL {int(answer) // 10000}.")
    assert f"needs {found['minimum']} or newer" in problem
    assert preflight_problems({"database": found | {"minimum": int(answer) // 10000}}) == []


def test_conflicting_package_leaves_the_running_release_alone(site: Site, node: Any) -> None:
    before = node.check_output("readlink /opt/airflow/current")
    started = node.check_output("systemctl show 'airflow-*' --property=MainPID,NRestarts")
    complete = "ls /opt/airflow/releases/*/complete"
    releases = node.check_output(complete)
    result = site.command(
        "ansible-playbook",
        "site.yml",
        "--tags",
        "install",
        "-e",
        '{"airflow_release_extra_packages": ["sqlalchemy<1.4"]}',
    )
    output = " ".join(result.stdout.split())
    assert result.returncode != 0
    assert "cannot be installed on" in output
    assert "airflow_release_extra_packages" in output
    assert re.search(r"No solution found|unsatisfiable|conflict", output), output[-3000:]
    assert "sqlalchemy<1.4" in output
    assert node.check_output("readlink /opt/airflow/current") == before
    assert node.check_output(complete) == releases
    assert node.check_output("systemctl show 'airflow-*' --property=MainPID,NRestarts") == started
