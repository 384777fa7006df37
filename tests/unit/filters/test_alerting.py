"""Alertmanager's configuration, and what is refused of what was asked of it."""

import copy
import re
from typing import Any

import pytest
from airstrip_alerts import TEMPLATES, alerts, rendered
from airstrip_render import FACTS, Role
from alerting import (
    SEVERITIES,
    alertmanager_config,
    alertmanager_problems,
    alertmanager_secret_files,
    alertmanager_servers,
    prometheus_alert_problems,
)
from ansible.errors import AnsibleFilterError

HASH = "$2b$10$" + 53 * "x"
SECRET = "very-secret"  # noqa: S105 - a word to look for
SETTINGS: dict[str, Any] = {
    "version": "0.28",
    "directory": "/secrets",
    "templates": ["/texts/*.tmpl"],
    "receivers": [
        {"name": "ops", "email_configs": [{"to": "ops@example.com"}]},
        {"name": "chat", "slack_configs": [{"api_url": f"https://chat.example.com/{SECRET}", "channel": "#ops"}]},
        {"name": "relay", "webhook_configs": [{"url": "https://a.example.com"}, {"url": "https://b.example.com"}]},
    ],
    "default_receiver": "",
    "routes": [{"receiver": "chat", "severity": "critical"}],
    "watchdog": {"receiver": "", "interval": "1m"},
    "grouping": {"group_by": ["alertname"], "group_wait": "10s", "group_interval": "1m", "repeat_interval": "4h"},
    "smtp": {
        "smarthost": "mail.example.com:587", "from": "a@example.com", "username": "", "password": "",
        "require_tls": True,
    },
    "global": {},
    "inhibit_rules": [],
    "web_users": {"prometheus": HASH},
    "listen_addresses": ["127.0.0.1", "::1"],
    "tls_enabled": False,
    "peers": [],
    "cluster_address": False,
    "cluster_tls": False,
}  # fmt: skip


def but(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(SETTINGS), **changes}


def receiver(**ways: Any) -> list[dict[str, Any]]:
    return [{"name": "chat", **ways}]


def routes(settings: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = alertmanager_config(settings)["route"]["routes"]
    return found


def test_nothing_is_wrong_with_what_is_right() -> None:
    assert alertmanager_problems(SETTINGS) == []
    assert alertmanager_problems(but(receivers=[], routes=[])) == []


SMTP: dict[str, Any] = SETTINGS["smtp"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"web_users": {}}, "alertmanager_web_users is empty"),
        ({"web_users": {"ops": SECRET}}, "alertmanager_web_users: that of ops is no bcrypt hash"),
        ({"listen_addresses": ["0.0.0.0"]}, "alertmanager_listen_addresses has 0.0.0.0"),  # noqa: S104 - refused
        ({"peers": ["192.0.2.2"], "cluster_address": True}, "anybody could silence alerts"),
        ({"peers": ["192.0.2.2"], "cluster_tls": True}, "alertmanager_cluster_address is not"),
        ({"receivers": receiver()}, "alertmanager_receivers: chat has no address"),
        ({"receivers": receiver(slack_configs=[])}, "alertmanager_receivers: chat has no address"),
        ({"receivers": receiver(slack_configs=[{"channel": "#ops"}])}, "slack_configs without api_url"),
        ({"receivers": receiver(email_configs=[{"to": ""}])}, "email_configs without to"),
        ({"receivers": receiver(pagerduty_configs=[{}])}, "without routing_key or service_key"),
        ({"receivers": receiver(webhook_configs=[{"url": SECRET}])}, "the url in webhook_configs does not begin"),
        ({"receivers": receiver(slack_config=[{}])}, "there is nothing of the name slack_config"),
        ({"receivers": [*SETTINGS["receivers"], SETTINGS["receivers"][1]]}, "two of the name chat"),
        ({"receivers": [*SETTINGS["receivers"], {"name": "nobody", "email_configs": [{"to": "a"}]}]},
         "nobody is the name of the receiver to which nothing is sent"),
        ({"receivers": [*SETTINGS["receivers"], {"name": "../x", "email_configs": [{"to": "a"}]}]}, "the name '../x'"),
        (
            {"receivers": receiver(msteamsv2_configs=[{"webhook_url": "https://a.example.com"}]), "version": "0.25"},
            "came with Alertmanager 0.28, and this host's system has 0.25: take Debian 13, or webhook_configs",
        ),
        ({"smtp": {**SMTP, "smarthost": ""}}, "ops is to get mail, and alertmanager_smtp_smarthost is empty"),
        ({"smtp": {**SMTP, "from": ""}}, "ops is to get mail, and alertmanager_smtp_from is empty"),
        ({"smtp": {**SMTP, "smarthost": "mail.example.com"}}, "a host and a port"),
        ({"smtp": {**SMTP, "username": "ops"}}, "are set both"),
        ({"routes": [{"receiver": "chta"}]}, "the receiver chta"),
        ({"routes": [{"severity": "critical"}]}, "an entry without receiver"),
        ({"routes": [{"receiver": "chat", "severity": ["critical", "page"]}]}, "the severity page; there are critical"),
        ({"routes": [{"receiver": "chat", "routes": [{"receiver": "x"}]}]}, "the receiver x"),
        ({"default_receiver": "x"}, "alertmanager_default_receiver is x"),
        ({"watchdog": {"receiver": "x", "interval": "1m"}}, "alertmanager_watchdog_receiver is x"),
        ({"watchdog": {"receiver": "", "interval": "soon"}}, "alertmanager_watchdog_interval is soon"),
        ({"grouping": {**SETTINGS["grouping"], "group_wait": "10"}}, "alertmanager_group_wait is 10"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused(changes: dict[str, Any], message: str) -> None:
    problems = alertmanager_problems(but(**changes))
    assert len(problems) == 1
    assert message in problems[0]
    # What is wrong may be a secret.
    assert SECRET not in problems[0]


@pytest.mark.parametrize("changes", [{"receivers": [1]}, {"receivers": receiver(slack_configs={})}, {"web_users": []}])
def test_what_is_no_list_or_mapping_is_named(changes: dict[str, Any]) -> None:
    with pytest.raises(AnsibleFilterError, match=r"alertmanager_(receivers|web_users)"):
        alertmanager_problems(but(**changes))


def test_with_tls_it_may_listen_everywhere() -> None:
    everywhere = but(listen_addresses=["0.0.0.0", "::"], tls_enabled=True)  # noqa: S104 - allowed
    assert alertmanager_problems(everywhere) == []
    assert alertmanager_problems(but(peers=["a"], cluster_address=True, cluster_tls=True)) == []


def test_secrets_are_files_where_the_version_has_them() -> None:
    settings = but(smtp={**SMTP, "username": "ops", "password": SECRET})
    files = {
        "/secrets/chat.slack_configs.0.api_url": f"https://chat.example.com/{SECRET}",
        "/secrets/relay.webhook_configs.0.url": "https://a.example.com",
        "/secrets/relay.webhook_configs.1.url": "https://b.example.com",
        "/secrets/smtp_password": SECRET,
    }
    assert alertmanager_secret_files(settings) == files
    config = alertmanager_config(settings)
    assert SECRET not in str(config)
    assert set(re.findall(r"/secrets/[\w.]+", str(config))) == set(files)
    older = settings | {"version": "0.25"}
    kept = [path for path in files if "webhook" not in path]
    assert list(alertmanager_secret_files(older)) == kept
    relay = alertmanager_config(older)["receivers"][3]
    assert relay["webhook_configs"][1] == {"send_resolved": True, "url": "https://b.example.com"}


def test_texts_are_ours_unless_they_are_theirs() -> None:
    mail = {"to": "a@example.com", "headers": {"Reply-To": "b@example.com"}, "html": "<p>", "send_resolved": False}
    config = alertmanager_config(but(receivers=[{"name": "ops", "email_configs": [mail]}], routes=[]))
    assert config["receivers"][1]["email_configs"] == [
        {
            "to": "a@example.com",
            "headers": {"Subject": '{{ template "airstrip.subject" . }}', "Reply-To": "b@example.com"},
            "text": '{{ template "airstrip.text" . }}',
            "html": "<p>",
            "send_resolved": False,
        }
    ]


def test_routes_are_in_order() -> None:
    watchdog, chat, info, rest = routes(SETTINGS)
    assert (watchdog["receiver"], watchdog["matchers"]) == ("nobody", ['alertname="Watchdog"'])
    assert chat == {"receiver": "chat", "matchers": ['severity="critical"']}
    assert info == {"receiver": "nobody", "matchers": ['severity="info"']}
    # The first receiver gets what is left, and what a route hands on.
    assert rest == {"receiver": "ops"}
    assert alertmanager_config(SETTINGS)["route"]["receiver"] == "ops"
    assert routes(but(default_receiver="relay"))[-1] == {"receiver": "relay"}
    assert routes(but(watchdog={"receiver": "relay", "interval": "30s"}))[0] == {
        "receiver": "relay",
        "matchers": ['alertname="Watchdog"'],
        "group_wait": "0s",
        "group_interval": "30s",
        "repeat_interval": "30s",
    }


def test_without_receivers_nobody_is_told() -> None:
    config = alertmanager_config(but(receivers=[], routes=[]))
    assert config["receivers"] == [{"name": "nobody"}]
    assert {route["receiver"] for route in config["route"]["routes"]} == {"nobody"}


@pytest.mark.parametrize(
    ("route", "matchers"),
    [
        ({}, ['severity!="info"']),
        ({"severity": ["critical", "warning"]}, ['severity=~"critical|warning"']),
        ({"severity": "info"}, ['severity="info"']),
        ({"owner": 'the "data" team'}, [r'owner="the \"data\" team"', 'severity!="info"']),
        ({"owner": ["a.b", "c"]}, [r'owner=~"a\\.b|c"', 'severity!="info"']),
        ({"matchers": ['severity=~"info|warning"']}, ['severity=~"info|warning"']),
        ({"owner": "a", "matchers": ['queue="reports"']}, ['owner="a"', 'queue="reports"', 'severity!="info"']),
    ],
)
def test_a_route_is_for_severities_and_owners(route: dict[str, Any], matchers: list[str]) -> None:
    own = {"receiver": "chat", "continue": True, "repeat_interval": "1h"}
    assert routes(but(routes=[{**own, **route}]))[1] == {**own, "matchers": matchers}


def test_a_route_within_another_one_gets_what_that_one_gets() -> None:
    inner = [{"receiver": "relay", "owner": "data", "routes": [{"receiver": "ops", "severity": "critical"}]}]
    assert routes(but(routes=[{"receiver": "chat", "severity": SEVERITIES, "routes": inner}]))[1]["routes"] == [
        {
            "receiver": "relay",
            "matchers": ['owner="data"'],
            "routes": [{"receiver": "ops", "matchers": ['severity="critical"']}],
        }
    ]


def test_what_holds_back_and_what_is_held_back_are_alerts() -> None:
    role = Role("alertmanager")
    known = {alert.name: alert for alert in alerts(rendered())}
    listed = role.evaluate("__alertmanager_inhibit_rules")
    for rule in listed:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            label, names = re.fullmatch(r'(\w+)(?:=~?|!=)"(.*)"', str(matcher)).groups()  # type: ignore[union-attr]
            assert label in ("alertname", "severity")
            assert set(names.split("|")) <= (set(known) if label == "alertname" else set(SEVERITIES)), matcher
        # Of one alone, an alert without these labels would hold back all others.
        source = re.findall(r"\w+", str(rule["source_matchers"][0]).partition("=")[2])
        for name in source:
            assert "equal" in rule or "instance" not in str(known[name].rule["annotations"]), name


@pytest.mark.parametrize(("major", "version"), [("12", "0.25"), ("13", "0.28")])
def test_the_version_is_that_of_the_distribution(major: str, version: str) -> None:
    role = Role("alertmanager", {"ansible_facts": {**FACTS, "distribution_major_version": major}})
    assert role.evaluate("__alertmanager_version") == version


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"DiskFul": {}}, "there is no alert DiskFul; there are AlertmanagerUnreached"),
        ({"DiskFull": {"sevrity": "info"}}, "DiskFull: there is no sevrity; there are enabled, severity, owner, for"),
        ({"DiskFull": {"severity": "page"}}, "DiskFull: the severity page"),
        ({"DiskFull": {"for": "10"}}, "DiskFull: for is 10"),
    ],
)
def test_a_change_of_an_alert_that_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    texts = [path.read_text(encoding="utf-8") for path in TEMPLATES.glob("*.j2")]
    problems = prometheus_alert_problems(changes, texts)
    assert len(problems) == 1
    assert message in problems[0]
    good = {
        alert.name: {"severity": "info", "owner": "a", "for": "1h30m", "enabled": False} for alert in alerts(rendered())
    }
    assert prometheus_alert_problems(good, texts) == []


def test_servers_are_told_without_the_rest_of_their_urls() -> None:
    receivers = [
        {"name": "a", "email_configs": [{"to": "x"}, {"to": "y", "smarthost": "other.example:465"}]},
        {"name": "b", "slack_configs": [{"api_url": "https://chat.example/secret"}], "pagerduty_configs": [{}]},
        {"name": "c", "webhook_configs": [{"url": "http://u:secret@127.0.0.1:2580/x"}, {"url": "nothing"}]},
    ]
    found = alertmanager_servers({"receivers": receivers, "smtp": {"smarthost": "mail.example:587"}})
    assert [(row["name"], row["host"], row["port"]) for row in found] == [
        ("a", "mail.example", 587),
        ("a", "other.example", 465),
        ("b", "chat.example", 443),
        ("c", "127.0.0.1", 2580),
    ]
    assert "secret" not in str(found)
