"""Role alertmanager: whom it lets in, and what it tells whom.

What it tells is seen with a second Alertmanager, which has receivers of the tests beside those of the site.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests
from airstrip_render import FACTS, Role
from airstrip_sinks import HTTP_PORT, SMTP_PORT, Sinks, listens, sinks, tells, wait_until
from airstrip_site import Site

UNIT = "prometheus-alertmanager.service"
DIRECTORY = "/etc/prometheus/alertmanager"
PORT = 9093
USER, SECRET = "airstrip", "monitoring_password"

SECOND = "airstrip-test-alertmanager"
SECOND_PORT = 9193
RECEIVERS: dict[str, Any] = {
    "alertmanager_smtp_smarthost": f"127.0.0.1:{SMTP_PORT}",
    "alertmanager_smtp_from": "airflow@example.com",
    "alertmanager_smtp_require_tls": False,
    "alertmanager_group_wait": "1s",
    "alertmanager_group_interval": "2s",
    "alertmanager_watchdog_receiver": "watchdog",
    "alertmanager_watchdog_interval": "2s",
    "alertmanager_receivers": [
        {"name": "ops", "email_configs": [{"to": "ops@example.com"}]},
        {"name": "pager", "webhook_configs": [{"url": f"http://127.0.0.1:{HTTP_PORT}/pager"}]},
        {"name": "data", "webhook_configs": [{"url": f"http://127.0.0.1:{HTTP_PORT}/data"}]},
        {"name": "chat", "slack_configs": [{"api_url": f"http://127.0.0.1:{HTTP_PORT}/chat", "channel": "#ops"}]},
        {"name": "watchdog", "webhook_configs": [{"url": f"http://127.0.0.1:{HTTP_PORT}/watchdog"}]},
    ],
    "alertmanager_routes": [
        {"receiver": "pager", "severity": "critical", "continue": True},
        {"receiver": "chat", "severity": ["warning", "critical"], "continue": True},
        {"receiver": "data", "owner": "data"},
    ],
}
Post = Callable[..., None]


@dataclass(frozen=True)
class Api:
    """The API of an Alertmanager, at a port of the controller."""

    port: int
    login: tuple[str, str] | None = field(default=None, repr=False)
    # That of its certificate; none, if it speaks no TLS.
    authority: str = ""

    def ask(self, method: str, path: str, body: Any = None, login: tuple[str, str] | None = None) -> requests.Response:
        base = f"http{'s' * bool(self.authority)}://127.0.0.1:{self.port}"
        verify = self.authority or True
        return requests.request(method, f"{base}{path}", json=body, auth=login or self.login, verify=verify, timeout=30)


@pytest.fixture(scope="module")
def nobody(site: Site, inventory_hostname: str) -> Iterator[Api]:
    with site.tunnel(inventory_hostname, PORT) as port:
        yield Api(port, authority=str(site.directory / ".certificates" / "ca.crt") if site.is_shared else "")


@pytest.fixture(scope="module")
def api(nobody: Api, site: Site) -> Api:
    return Api(nobody.port, (USER, site.secrets[SECRET]), nobody.authority)


def test_it_runs_and_would_after_a_restart(host: Any) -> None:
    assert host.service(UNIT).is_running
    assert host.service(UNIT).is_enabled


def test_it_listens_on_loopback_alone(host: Any) -> None:
    listed = host.check_output("ss --listening --tcp --udp --numeric --no-header --processes")
    ours = {line.split()[4] for line in listed.splitlines() if "prometheus-aler" in line}
    assert ours == {f"127.0.0.1:{PORT}"}


@pytest.mark.parametrize("login", [None, ("prometheus", "wrong"), ("prometheus", ""), ("admin", "admin")])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/v2/alerts", None),
        ("GET", "/metrics", None),
        ("POST", "/-/reload", None),
        ("POST", "/api/v2/alerts", [{"labels": {"alertname": "Forged"}}]),
        ("POST", "/api/v2/silences", {}),
        ("GET", "/debug/pprof/heap", None),
    ],
)
def test_nobody_gets_in_without_a_password(
    nobody: Api, method: str, path: str, body: Any, login: tuple[str, str] | None
) -> None:
    assert nobody.ask(method, path, body, login).status_code == 401


def test_the_right_password_gets_in(api: Api) -> None:
    assert api.ask("GET", "/api/v2/status").json()["cluster"]["status"] == "disabled"
    assert "alertmanager_build_info" in api.ask("GET", "/metrics").text


def test_alerts_and_silences_are_taken(api: Api) -> None:
    name, now = "AirstripTest", datetime.now(UTC)
    alert = {"labels": {"alertname": name, "severity": "info"}, "endsAt": (now + timedelta(seconds=5)).isoformat()}
    assert api.ask("POST", "/api/v2/alerts", [alert]).status_code == 200
    silence = {
        "matchers": [{"name": "alertname", "value": name, "isRegex": False, "isEqual": True}],
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(minutes=1)).isoformat(),
        "createdBy": "test",
        "comment": "test",
    }
    made = api.ask("POST", "/api/v2/silences", silence)
    assert made.status_code == 200
    try:
        assert name in {each["labels"]["alertname"] for each in api.ask("GET", "/api/v2/alerts").json()}
    finally:
        assert api.ask("DELETE", f"/api/v2/silence/{made.json()['silenceID']}").status_code == 200


def test_files_are_roots_and_hidden(host: Any) -> None:
    listed = host.check_output(f"find {DIRECTORY} /etc/prometheus/alertmanager.yml -printf '%u:%g %m %y %p\\n'")
    for line in listed.splitlines():
        owner, mode, kind, path = line.split(" ", 3)
        assert (owner, mode) == ("root:prometheus", "750" if kind == "d" else "640"), path
    hidden = host.check_output(f"find {DIRECTORY} -type f").splitlines()
    for path in [*hidden, "/etc/prometheus/alertmanager.yml"]:
        refused = host.run(f"setpriv --reuid=nobody --regid=nogroup --clear-groups cat {shlex.quote(path)}")
        assert refused.rc != 0, path


def test_the_configuration_is_sound_and_names_no_password(host: Any, site: Site) -> None:
    host.check_output("amtool check-config /etc/prometheus/alertmanager.yml")
    text = host.check_output(
        f"cat /etc/prometheus/alertmanager.yml {DIRECTORY}/web.yml /proc/$(pidof {UNIT[:-8]})/cmdline"
    )
    assert site.secrets[SECRET] not in text


def test_the_unit_is_closed(host: Any) -> None:
    level = host.check_output(f"systemd-analyze security {UNIT} | tail -n 1")
    assert float(level.split(":")[1].split()[0]) <= 1.3, level


@pytest.fixture(scope="module")
def told(host: Any) -> Iterator[Sinks]:
    """Servers to which a second Alertmanager sends, with the role's configuration for receivers of the tests."""
    facts = {**FACTS, "distribution_major_version": host.system_info.release.partition(".")[0]}
    role = Role("alertmanager", {**RECEIVERS, "ansible_facts": facts})
    directory = f"/run/{SECOND}"
    own = {"__alertmanager_secrets": f"{directory}/secrets"}
    secrets = role.evaluate("__alertmanager_settings | alertmanager_secret_files", **own)
    files = {str(path): str(text) for path, text in secrets.items()}
    files[f"{directory}/config.yml"] = role.render("alertmanager.yml.j2", **own)
    host.check_output(f"install -d -o prometheus {directory} {directory}/secrets {directory}/data")
    for path, text in files.items():
        host.check_output(f"printf %s {shlex.quote(text)} >{shlex.quote(path)}")
    with sinks(host) as found:
        host.check_output(
            f"systemd-run --quiet --unit={SECOND} --collect --uid=prometheus prometheus-alertmanager"
            f" --config.file={directory}/config.yml --storage.path={directory}/data --cluster.listen-address="
            f" --web.listen-address=127.0.0.1:{SECOND_PORT}"
        )
        try:
            wait_until(lambda: listens(host, SECOND_PORT), 30)
            yield found
        finally:
            host.run(f"systemctl stop {SECOND}; rm -rf {directory}")


@pytest.fixture(scope="module")
def second(told: Sinks, site: Site, inventory_hostname: str) -> Iterator[Api]:  # noqa: ARG001 - it runs with them
    with site.tunnel(inventory_hostname, SECOND_PORT) as port:
        yield Api(port)


@pytest.fixture
def post(second: Api) -> Post:
    def now(name: str, *, ended: bool = False, **labels: str) -> None:
        moment = datetime.now(UTC)
        alert = {
            "labels": {"alertname": name, "severity": "warning", "owner": "platform", "code": "test", **labels},
            "annotations": {"summary": f"{name} is told", "description": "All of it.", "runbook": "page.md#test"},
            "startsAt": (moment - timedelta(minutes=5)).isoformat(),
            "endsAt": (moment + timedelta(minutes=-1 if ended else 30)).isoformat(),
        }
        assert second.ask("POST", "/api/v2/alerts", [alert]).status_code == 200

    return now


def paths(told: Sinks, alert: str) -> set[str]:
    """Return where an alert was told."""
    found = set()
    for message in told.messages:
        if message["kind"] == "mail" and f"alertname={alert} " in message["text"]:
            found |= set(message["to"])
        if message["kind"] == "web" and alert in json.dumps(message["body"]):
            found.add(message["path"])
    return found


def test_a_warning_goes_by_mail_and_to_the_chat_and_is_resolved(told: Sinks, post: Post) -> None:
    post("Warned", instance="worker-1")
    mail = told.wait(tells("Warned", "firing", "mail"), 15)
    assert (mail["to"], mail["sender"]) == (["ops@example.com"], "airflow@example.com")
    assert mail["subject"] == "[FIRING WARNING] Warned is told"
    for part in ("All of it.", "page.md#test", "instance=worker-1 ", "code=test "):
        assert part in mail["text"]
    post("Warned", ended=True, instance="worker-1")
    assert told.wait(tells("Warned", "resolved", "mail"), 15)["subject"] == "[RESOLVED] Warned is told"
    assert paths(told, "Warned") == {"/chat", "ops@example.com"}


def test_a_critical_one_goes_to_the_pager_too(told: Sinks, post: Post) -> None:
    post("Broken", severity="critical")
    message = told.wait(tells("Broken", "firing"), 15)
    assert (message["path"], message["body"]["receiver"]) == ("/pager", "pager")
    told.wait(tells("Broken", "firing", "mail"), 15)
    post("Broken", severity="critical", ended=True)
    told.wait(tells("Broken", "resolved"), 15)


def test_another_owners_goes_to_them(told: Sinks, post: Post) -> None:
    post("Theirs", owner="data")
    assert told.wait(tells("Theirs", "firing"), 15)["path"] == "/data"
    post("Theirs", owner="data", ended=True)
    told.wait(tells("Theirs", "resolved"), 15)
    assert paths(told, "Theirs") == {"/data", "/chat"}


def test_what_nobody_need_look_at_is_told_to_nobody(told: Sinks, post: Post) -> None:
    post("Informed", severity="info", owner="data")
    post("Known", owner="data")
    told.wait(tells("Known", "firing"), 15)
    assert paths(told, "Informed") == set()


def test_the_watchdog_goes_to_its_receiver_again_and_again(told: Sinks, post: Post) -> None:
    post("Watchdog", severity="info")
    wait_until(lambda: sum(map(tells("Watchdog", "firing"), told.messages)) >= 3, 20)
    # The site's own Alertmanager may tell its people of the same alert here.
    assert paths(told, "Watchdog") - {"/people", "ops@example.com"} == {"/watchdog"}


# What holds back, what it holds back, and what it does not.
CAUSES = {
    "HostUnreachable": ({"severity": "critical"}, {"instance": "down"}, {"instance": "up"}),
    "HostDrained": ({"severity": "info"}, {"instance": "down"}, {"instance": "down", "severity": "critical"}),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_cause_holds_back_what_follows(told: Sinks, post: Post, cause: str) -> None:
    labels, held, free = CAUSES[cause]
    post(cause, **labels, instance="down")
    post(f"Held{cause}", **held)
    post(f"Free{cause}", **free)
    told.wait(tells(f"Free{cause}", "firing", "mail"), 15)
    assert paths(told, f"Held{cause}") == set()
    post(cause, ended=True, **labels, instance="down")
    post(f"Free{cause}", ended=True, **free)
    # Not for ever.
    told.wait(tells(f"Held{cause}", "firing", "mail"), 15)
