"""Filter: how the exporters of a host are called."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.airstrip.core.plugins.plugin_utils.checks import as_list, as_mapping

Settings = Mapping[str, Any]
Program = dict[str, Any]

_SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


def _exporter_exporter(given: Settings) -> Program:
    addresses = as_list(given["listen_addresses"], "exporter_programs: listen_addresses")
    # It binds one address, or all.
    address = f"{addresses[0] if len(addresses) == 1 else ''}:{given['port']}"
    listening = [f"-web.listen-address={address}"]
    if given["tls"]:
        listening = ["-web.listen-address=", f"-web.tls.listen-address={address}"]
        listening += ["-web.tls.cert=%d/tls.crt", "-web.tls.key=%d/tls.key"]
    return {
        "arguments": [f"-config.file={given['directory']}/modules.yml", "-web.bearer.token-file=%d/token", *listening],
        "credentials": ["token", *(["tls.crt", "tls.key"] if given["tls"] else [])],
    }


def _node_exporter(given: Settings) -> Program:
    return {
        "arguments": [
            f"--web.listen-address=127.0.0.1:{given['ports']['node']}",
            "--collector.systemd",
            "--collector.systemd.enable-restarts-metrics",
            f"--collector.systemd.unit-include={given['units']}",
            f"--collector.textfile.directory={given['textfile_directory']}",
        ]
    }


def _process_exporter(given: Settings) -> Program:
    return {
        "arguments": [
            f"-web.listen-address=127.0.0.1:{given['ports']['process']}",
            f"-config.path={given['directory']}/processes.yml",
            # Names of threads, and each child by itself, would be series without end.
            "-threads=false",
            "-children=false",
        ]
    }


def _postgresql_exporter(given: Settings) -> Program:
    place = as_mapping(given["database"], "exporter_programs: database")
    tls = f"verify-full&sslrootcert={_authority(given, place)}" if place["tls"] else "disable"
    return {
        "arguments": [
            f"--web.listen-address=127.0.0.1:{given['ports']['postgresql']}",
            f"--extend.query-path={given['directory']}/postgresql.yml",
        ],
        "environment": {
            "DATA_SOURCE_URI": f"{_server(place)}/{place['name']}?connect_timeout=5&sslmode={tls}",
            "DATA_SOURCE_USER": place["user"],
            "DATA_SOURCE_PASS_FILE": "%d/database-password",
        },
        "credentials": ["database-password", "ca.crt"],
    }


def _redis_exporter(given: Settings) -> Program:
    place = as_mapping(given["broker"], "exporter_programs: broker")
    keys = ",".join(f"db{place['database']}={queue}" for queue in place["queues"])
    return {
        "arguments": [
            f"-web.listen-address=127.0.0.1:{given['ports']['redis']}",
            f"-redis.addr={_broker(place)}",
            f"-redis.user={place['user']}",
            "-redis.password-file=%d/broker-passwords",
            f"-check-single-keys={keys}",
            *([f"-tls-ca-cert-file={_authority(given, place)}"] if place["tls"] else []),
        ],
        "credentials": ["broker-passwords", "ca.crt"],
        # As which it looks for the password, with the user's name in it or without (redis_exporter, pwd_file.go).
        "broker_urls": [_broker(place), _broker(place).replace("://", f"://{place['user']}@")],
    }


def _blackbox_exporter(given: Settings) -> Program:
    return {
        "arguments": [
            f"--web.listen-address=127.0.0.1:{given['ports']['blackbox']}",
            f"--config.file={given['directory']}/blackbox.yml",
        ],
        # Beside the system's authorities, the site's own.
        "environment": {"SSL_CERT_DIR": "%d"},
        "credentials": ["ca.crt"],
    }


def _server(place: Settings) -> str:
    address = str(place["address"])
    return f"{f'[{address}]' if ':' in address else address}:{place['port']}"


def _broker(place: Settings) -> str:
    return f"redis{'s' * bool(place['tls'])}://{_server(place)}"


def _authority(given: Settings, place: Settings) -> str:
    return "%d/ca.crt" if given["has_authority"] and not place.get("external") else _SYSTEM_AUTHORITIES


# By the component, Debian's name of the program without `prometheus-`, which is that of package and unit, too.
_PROGRAMS: dict[str, tuple[str, Callable[[Settings], Program]]] = {
    "exporter_exporter": ("exporter-exporter", _exporter_exporter),
    "node_exporter": ("node-exporter", _node_exporter),
    "process_exporter": ("process-exporter", _process_exporter),
    "postgresql_exporter": ("postgres-exporter", _postgresql_exporter),
    "redis_exporter": ("redis-exporter", _redis_exporter),
    "blackbox_exporter": ("blackbox-exporter", _blackbox_exporter),
}


def exporter_programs(names: Iterable[str], settings: object) -> list[Program]:
    """
    Return how exporters are called, by the names of their components.

    Each has `component`, `program`, which is also the name of its package, `service`, `path` of what is added to that
    unit, `arguments`, `environment` by name, and `credentials`, which systemd hands to it; that of the broker also
    `broker_urls`, for which it looks for a password. `settings` has `directory`, `port`, `listen_addresses`, `tls`,
    `has_authority`, `ports` by kind, `units`, `textfile_directory`, `database` and `broker`, the last two if they are
    needed. Raises AnsibleFilterError for a name that there is none of.
    """
    given = as_mapping(settings, "exporter_programs: the settings")
    if unknown := [name for name in names if name not in _PROGRAMS]:
        raise AnsibleFilterError(f"exporter_programs: {unknown[0]!r} is none of {', '.join(_PROGRAMS)}")
    return [_program(name, given) for name in names]


def _program(name: str, given: Settings) -> Program:
    short, of = _PROGRAMS[name]
    program = f"prometheus-{short}"
    fixed = {
        "component": name,
        "program": program,
        "service": f"{program}.service",
        "path": f"/etc/systemd/system/{program}.service.d/airstrip.conf",
    }
    return fixed | {"environment": {}, "credentials": []} | of(given)


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Name the filters of this file."""
        return {"exporter_programs": exporter_programs}
