"""Filters of the targets of logs: what is refused, and what is written of them."""

from typing import Any

import pytest
from airstrip_module import load
from airstrip_tree import PROJECT

targets = load(PROJECT / "filter_plugins" / "log_targets.py")
GOOD = {"name": "central", "type": "opensearch", "url": "https://logs.example.com:9200", "user": "writer"}
PASSWORDS = {"central": "s3cret"}


def problems(passwords: dict[str, str] | None = None, **changes: Any) -> list[str]:
    target = {key: value for key, value in (GOOD | changes).items() if value is not None}
    found: list[str] = targets.log_target_problems([target], PASSWORDS if passwords is None else passwords)
    return found


def test_what_can_be_is_not_refused() -> None:
    assert problems() == []
    assert problems({}, user=None) == []
    assert problems(index="logs-x", labels={"site": "prod"}, ca_certificate="-----BEGIN CERTIFICATE-----") == []
    assert problems(type="loki", tenant="data", url="https://logs.example.com/base") == []
    assert problems(type="loki", url="http://127.0.0.1:3100") == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"type": "splunk"}, "type is splunk. Set it to one of loki, elasticsearch, opensearch."),
        ({"type": None}, "type is None"),
        ({"url": None}, "url is no https://"),
        ({"url": "https:///x"}, "url is no https://"),
        ({"url": "https://logs.example.com:x"}, "url is no https://"),
        ({"url": 'https://logs.example.com/"'}, "url is no https://"),
        ({"url": "https://logs.example.com/`id`"}, "url is no https://"),
        ({"url": "http://logs.example.com"}, "url leads to another host by http://"),
        ({"index": "Logs"}, "index is 'Logs'"),
        ({"index": "$HOST"}, "index is '$HOST'"),
        ({"tenant": "data"}, "there is no tenant for opensearch"),
        ({"type": "loki", "index": "x"}, "there is no index for loki"),
        ({"type": "loki", "tenant": 'a"b'}, "tenant is"),
        ({"password": "x"}, "there is no password for opensearch"),
        ({"labels": {"unit": "x"}}, "the label 'unit'"),
        ({"labels": {"site": "$HOST"}}, "the label site is '$HOST'"),
        ({"ca_certificate": "/etc/ca.crt"}, "ca_certificate is no certificate in PEM"),
        ({"user": "a:b"}, "user has a colon"),
        ({"name": "a/b"}, "the name 'a/b'"),
    ],
)
def test_what_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    found = problems({str(changes.get("name", "central")): "s3cret"}, **changes)
    assert len(found) == 1, found
    assert found[0].startswith("site_log_targets: ")
    assert message in found[0]


def test_a_login_without_secret_is_refused_and_a_secret_without_login() -> None:
    (found,) = problems({})
    assert found.endswith("has no password for it. Set log_shipper_passwords.central.")
    (found,) = problems(PASSWORDS | {"gone": "s3cret"})
    assert found.startswith("log_shipper_passwords has one for gone")


def test_two_targets_of_one_name_are_refused() -> None:
    found = targets.log_target_problems([GOOD, GOOD | {"type": "elasticsearch"}], PASSWORDS)
    assert found == ["site_log_targets: 2 are called central. Give each a name of its own."]


def test_no_message_has_a_password() -> None:
    told = problems({"central": "s3cret\n", "gone": "s3cret"}, url="https://writer:s3cret@logs.example.com")
    assert len(told) == len(["url", "control character", "no such target"])
    assert "s3cret" not in str(told)


def test_a_password_is_written_as_syslog_ng_reads_it() -> None:
    target, passwords = GOOD | {"ca_certificate": "PEM"}, {"central": 'a"b\\c`d$e'}
    config, login, authority = targets.log_target_files([target], passwords, ["CONFIG"], "/d")
    assert config == {"path": "/d/central.conf", "content": "CONFIG"}
    assert login["content"] == 'user("writer")\npassword("a\\"b\\\\c``d$e")\n'
    assert (login["path"], login["mode"], login["secret"]) == ("/d/central.login", "0600", True)
    assert authority == {"path": "/d/central.crt", "content": "PEM\n"}


def test_a_target_without_login_has_an_empty_one() -> None:
    assert targets.log_target_files([{"name": "a"}], {}, [""], "/d")[1]["content"] == ""


def test_the_authority_is_its_own_or_the_systems() -> None:
    assert targets.log_target_authority({"name": "a", "ca_certificate": "PEM"}, "/d") == "/d/a.crt"
    assert targets.log_target_authority({"name": "a"}, "/d") == "/etc/ssl/certs/ca-certificates.crt"
