"""Grafana's files: settings and data sources."""

from configparser import ConfigParser
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from grafana import grafana_data_sources, grafana_ini, grafana_site_servers

PROMETHEUS = {"name": "Prometheus", "url": "https://prometheus.example.com:9090"}


def read(text: str) -> dict[str, dict[str, str]]:
    """Return what a reader of such files reads: without the quotation marks that stand around a value."""
    parser = ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#", ";"), strict=True)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(text)
    return {
        section: {
            name: value[3:-3] if value.startswith('"""') and value.endswith('"""') else value
            for name, value in parser[section].items()
        }
        for section in parser.sections()
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        (3000, "3000"),
        (True, "true"),
        (False, "false"),
        (None, ""),
        ("", ""),
        ("a # b ; c", "a # b ; c"),
        ("it's `x`", "it's `x`"),
        (" blanks ", " blanks "),
        ("$__file{/run/x}", "$__file{/run/x}"),
        ("a = [b]", "a = [b]"),
        ('say "yes" to it', 'say "yes" to it'),
        ("C:\\path", "C:\\path"),
    ],
)
def test_a_setting_is_read_as_it_was_given(value: Any, text: str) -> None:
    given = {"server": {"first": 1, "x": value, "last": 2}, "auth.generic_oauth": {"enabled": True}}
    assert read(grafana_ini(given)) == {
        "server": {"first": "1", "x": text, "last": "2"},
        "auth.generic_oauth": {"enabled": "true"},
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"server": {"x": "a\n[security]\nadmin_password = b"}}, "server.x is to be a text of one line"),
        ({"server": {"x": "a\rb"}}, "server.x is to be a text of one line"),
        ({"server": {"x": ["a"]}}, "server.x is to be a text of one line"),
        ({"server": "x"}, "server is to be a mapping"),
        ({"a]\n[b": {}}, "is no name of a section"),
        ({"server": {"x = 1\ny": 2}}, "is no name of a section or a setting"),
        ({"server": {"x": 'a """ # b'}}, "quotation marks that Grafana's file cannot hold"),
        ({"server": {"x": '# ends in "'}}, "quotation marks that Grafana's file cannot hold"),
    ],
)
def test_what_a_file_of_settings_cannot_hold_is_refused(settings: Any, message: str) -> None:
    with pytest.raises(AnsibleFilterError, match=r"grafana_settings: ") as caught:
        grafana_ini(settings)
    assert message in str(caught.value)


def test_a_data_source_has_login_and_authority() -> None:
    found = grafana_data_sources([PROMETHEUS | {"user": "viewer", "password": "pa$word", "ca": "PEM"}], 15)
    assert found["apiVersion"] == 1
    (source,) = found["datasources"]
    assert source["isDefault"] is True
    assert source["editable"] is False
    assert source["jsonData"] == {"httpMethod": "POST", "timeInterval": "15s", "tlsAuthWithCACert": True}
    assert source["basicAuthUser"] == "viewer"
    # A dollar would begin a variable.
    assert source["secureJsonData"] == {"basicAuthPassword": "pa$$word", "tlsCACert": "PEM"}


def test_the_first_server_is_the_default() -> None:
    found = grafana_data_sources([PROMETHEUS, PROMETHEUS | {"name": "Other"}], 30)["datasources"]
    assert [source["isDefault"] for source in found] == [True, False]
    assert len({source["uid"] for source in found}) == 2
    assert [source.get("basicAuth") for source in found] == [None, None]


@pytest.mark.parametrize(
    ("servers", "message"),
    [
        ([{"url": "https://a"}], "each has `name`"),
        ([{"name": "a"}], "each has `name`"),
        ([{"name": "a", "url": "prometheus:9090"}], "each has `name`"),
        ([PROMETHEUS, PROMETHEUS], "two have the same name"),
        ([{"name": "a", "url": "http://192.0.2.1:9090", "user": "b", "password": "c"}], "in the clear"),
        ([{"name": "a", "url": "http://localhost.example.com", "user": "b"}], "in the clear"),
    ],
)
def test_servers_that_cannot_be_are_refused(servers: list[dict[str, str]], message: str) -> None:
    with pytest.raises(AnsibleFilterError, match="grafana_prometheus_servers: ") as caught:
        grafana_data_sources(servers, 30)
    assert message in str(caught.value)


@pytest.mark.parametrize("place", ["127.0.0.1:9090", "localhost:9090", "[::1]:9090"])
def test_on_the_loopback_a_password_may_go_in_the_clear(place: str) -> None:
    server = {"name": "a", "url": f"http://{place}", "user": "b", "password": "c"}
    assert grafana_data_sources([server], 30)["datasources"][0]["basicAuth"] is True


def test_the_sites_own_servers_are_asked_as_airstrip() -> None:
    hosts = [
        {"name": "vm1", "address": "192.0.2.1", "port": 9090},
        {"name": "vm2", "address": "2001:db8::2", "port": 9},
    ]
    first, second = grafana_site_servers(hosts, "secret", "PEM")
    login = {"user": "airstrip", "password": "secret", "ca": "PEM"}
    assert first == {"name": "Prometheus vm1", "url": "https://192.0.2.1:9090"} | login
    assert second["url"] == "https://[2001:db8::2]:9"
    (plain,) = grafana_site_servers([{"name": "vm1", "address": "127.0.0.1", "port": 9090}], "secret", "")
    assert plain["url"] == "http://127.0.0.1:9090"
    assert "ca" not in plain
    assert len(grafana_data_sources([first, second, plain | {"name": "x"}], 30)["datasources"]) == 3
