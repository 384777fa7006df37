"""People log in by the company's directory, then by its identity provider, in a browser; the site's own still do."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import testinfra
from airstrip_airflow import Airflow
from airstrip_browser import Browser, browsing, install, trust
from airstrip_outsider import Outsider, outside
from airstrip_site import PROJECT, Site
from selenium.webdriver.common.by import By

PICTURES = PROJECT / ".cache" / "test" / "screenshots-identity"
HOME = "/home/staff"
NAME = "company.airstrip.test"
# Of the people whom the tests add to the provider, and of Airflow there.
ALAN, CLIENT_SECRET = secrets.token_hex(16), secrets.token_hex(16)
OPERATORS, STAFF = "cn=Operators,ou=groups,dc=airstrip,dc=test", "cn=Staff,ou=groups,dc=airstrip,dc=test"
DIRECTORY = {
    "servers": [f"ldaps://{NAME}"],
    "bind_user": "cn=airflow,ou=services,dc=airstrip,dc=test",
    "search_base": "ou=people,dc=airstrip,dc=test",
    "roles": {OPERATORS: ["Op"], STAFF: ["Viewer"]},
}
OPENID = {
    "site_ldap": {},
    "site_oauth_providers": [
        {
            "name": "corp",
            "client_id": "airflow",
            "metadata_url": f"https://{NAME}:9443/.well-known/openid-configuration",
            "scopes": ["openid", "email", "profile", "groups"],
            "roles": {"operators": ["Op"]},
        }
    ],
    "airflow_oauth_client_secrets": {"corp": CLIENT_SECRET},
}

USERNAME, PASSWORD = (By.NAME, "username"), (By.NAME, "password")
SUBMIT = (By.CSS_SELECTOR, "form [type=submit]")
DAGS = (By.CSS_SELECTOR, "[data-testid=nav-dags-link]")
PROVIDER, LOGIN, CONSENT = (By.ID, "btn-signin-corp"), (By.NAME, "login"), (By.ID, "accept")
ALERT = (By.CSS_SELECTOR, ".alert")


@pytest.fixture(scope="module")
def services(site: Site) -> Any:
    return testinfra.get_host(site.connection(site.group("company")[0]))


@pytest.fixture(scope="module")
def desk(site: Site, services: Any) -> Iterator[Outsider]:
    """A host with a browser, which trusts the site's authority and the company's."""
    with outside(site.scenario) as found:
        install(found)
        found.name(services.check_output("hostname --ip-address").split()[0], NAME)
        assert site.ca_certificate is not None
        trust(found, HOME, site.ca_certificate.read_text(encoding="utf-8"))
        certutil = ["certutil", "-d", f"sql:{HOME}/.pki/nssdb", "-A", "-n", "company", "-t", "C,,"]
        found.check_output(certutil, given=services.check_output("cat /etc/company/ca.crt"))
        yield found


def password(site: Site, name: str) -> str:
    """Return what the scenario has made for somebody in the directory."""
    return (site.directory / f"company-password-{name}").read_text(encoding="utf-8").strip()


def roles(site: Site, username: str) -> set[str]:
    """Return the roles of somebody, as the administrator sees them."""
    user = site.airflow().request("GET", f"/auth/fab/v1/users/{username}")
    return {str(role["name"]) for role in user["roles"]}


def log_in(browser: Browser, username: str, password: str) -> None:
    browser.write(USERNAME, username)
    browser.write(PASSWORD, password)
    browser.click(SUBMIT)


def change_group(services: Any, group: str, verb: str, member: str) -> None:
    text = f"dn: {group}\nchangetype: modify\n{verb}: member\nmember: {member}\n"
    services.check_output(
        "printf %%b %s | LDAPTLS_CACERT=/etc/company/ca.crt ldapmodify -x -H ldaps://127.0.0.1 -D %s -y %s",
        text.replace("\n", "\\n"), "cn=root,dc=airstrip,dc=test", "/etc/company/directory-password",
    )  # fmt: skip


def sees_dags(airflow: Airflow) -> bool:
    try:
        airflow.request("GET", "/api/v2/dags")
    except requests.HTTPError as error:
        return bool(error.response.status_code != 403)
    return True


def test_a_person_of_the_directory_has_the_roles_of_his_groups_as_long_as_he_is_in_them(
    site: Site, desk: Outsider, services: Any
) -> None:
    with browsing(desk, HOME, PICTURES) as browser:
        browser.open(f"{site.edge_url}/auth/login/")
        log_in(browser, "grace", "not-hers")
        browser.see(ALERT)
        log_in(browser, "grace", password(site, "grace"))
        browser.see(DAGS)
        browser.picture("ldap")
    # Staff by Operators, which is a member of it.
    assert roles(site, "grace") == {"Public", "Op", "Viewer"}
    grace, nobody = "uid=grace,ou=people,dc=airstrip,dc=test", "uid=admin,ou=people,dc=airstrip,dc=test"
    change_group(services, OPERATORS, "add", nobody)
    change_group(services, OPERATORS, "delete", grace)
    try:
        with browsing(desk, HOME, PICTURES) as browser:
            browser.open(f"{site.edge_url}/auth/login/")
            log_in(browser, "grace", password(site, "grace"))
            browser.until(lambda _: "/auth/login" not in browser.url, "she does not log in")
        assert roles(site, "grace") == {"Public"}
        # Each API process keeps for 30 s what it knows of a user.
        airflow, end = site.airflow("grace", password(site, "grace")), time.monotonic() + 60
        while sees_dags(airflow):
            assert time.monotonic() < end, "she still sees DAGs"
            time.sleep(1)
    finally:
        change_group(services, OPERATORS, "add", grace)
        change_group(services, OPERATORS, "delete", nobody)


def test_the_directory_does_not_have_the_name_of_the_sites_own_administrator(site: Site) -> None:
    with pytest.raises(requests.HTTPError, match="401"):
        site.airflow("admin", password(site, "admin"))
    assert roles(site, "admin") == {"Admin"}


def test_the_administrator_logs_in_without_the_directory(site: Site, desk: Outsider, services: Any) -> None:
    services.check_output("systemctl stop slapd")
    try:
        with browsing(desk, HOME, PICTURES) as browser:
            browser.open(f"{site.edge_url}/auth/login/")
            log_in(browser, "grace", password(site, "grace"))
            browser.see(ALERT)
            log_in(browser, "admin", site.secrets["airflow_admin_password"])
            browser.see(DAGS)
        assert site.airflow().request("GET", "/api/v2/pools")["pools"]
        result = site.command("ansible-playbook", "site.yml", "--tags", "validate")
        assert result.returncode != 0
        assert f"site_ldap.servers: ldaps://{NAME} does not answer" in " ".join(result.stdout.split())
    finally:
        services.check_output("systemctl start slapd")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"airflow_ldap_bind_password": "wrong-4712"}, "lets the bind user not in: it knows no such user"),
        ({"search_base": "ou=nobody,dc=airstrip,dc=test"}, "cannot be searched: there is no ou=nobody,"),
        ({"roles": {"cn=Nobody,ou=groups,dc=airstrip,dc=test": ["Op"]}}, "shows no group cn=Nobody,ou=groups,"),
        ({"roles": {OPERATORS: ["Boss"]}}, "has 'Boss', and there is no such role"),
        (
            {"servers": ["ldap://company.airstrip.test"]},
            "passwords would go to ldap://company.airstrip.test in the cle",
        ),
    ],
)
def test_a_wrong_value_is_refused_before_anything_changes(site: Site, wrong: dict[str, Any], message: str) -> None:
    outer = {name: value for name, value in wrong.items() if name.startswith(("airflow_", "base_"))}
    inner = {name: value for name, value in wrong.items() if name not in outer}
    extra = json.dumps(outer | {"site_ldap": DIRECTORY | inner})
    result = site.command("ansible-playbook", "site.yml", "--tags", "validate", "-e", extra)
    assert result.returncode != 0
    assert message in " ".join(result.stdout.split())
    assert "4712" not in result.stdout


def canaille(services: Any, *argv: str) -> str:
    """Run a command of the identity provider."""
    words = " ".join(f"'{word}'" for word in argv)
    found: str = services.check_output(f"CANAILLE_CONFIG=/etc/company/canaille.toml /opt/canaille/bin/canaille {words}")
    return found


def add_person(services: Any, name: str, password: str, email: str) -> None:
    given = {"user-name": name, "display-name": name, "formatted-name": name, "family-name": name, "emails": email}
    options = [word for option, value in given.items() for word in (f"--{option}", value)]
    canaille(services, "create", "user", *options, "--password", password)


@pytest.fixture(scope="module")
def provider(site: Site, services: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """People log in by the provider, until the directory is declared anew."""
    add_person(services, "alan", ALAN, "alan@airstrip.test")
    add_person(services, "kurt", ALAN, "kurt@airstrip.test")
    add_person(services, "admin", ALAN, "admin@provider.test")
    # Of another account, which the first test has made.
    add_person(services, "eve", ALAN, "grace@airstrip.test")
    canaille(services, "create", "group", "--display-name", "operators", "--members", "alan", "--members", "kurt")
    scopes = [word for scope in ("openid", "email", "profile", "groups") for word in ("--scope", scope)]
    client = ["--client-id", "airflow", "--client-secret", CLIENT_SECRET, "--client-name", "Airflow"]
    client += ["--grant-types", "authorization_code", "--response-types", "code"]
    client += ["--token-endpoint-auth-method", "client_secret_basic"]
    client += ["--redirect-uris", f"{site.edge_url}/auth/oauth-authorized/corp"]
    canaille(services, "create", "client", *client, *scopes)
    file = tmp_path_factory.mktemp("openid") / "openid.json"
    file.write_text(json.dumps(OPENID), encoding="utf-8")
    converge(site, "-e", f"@{file}")
    yield
    converge(site)


def converge(site: Site, *options: str) -> None:
    result = site.command("ansible-playbook", "site.yml", *options)
    output = result.stdout + result.stderr
    assert CLIENT_SECRET not in output
    if result.returncode:
        raise RuntimeError(output)


def log_in_by_provider(site: Site, browser: Browser, username: str, password: str) -> None:
    """Log in at the provider's pages, and let it tell Airflow who one is."""
    browser.open(f"{site.edge_url}/auth/login/")
    browser.click(PROVIDER)
    browser.write(LOGIN, username)
    browser.click((By.CSS_SELECTOR, "button[name=answer]"))
    browser.write(PASSWORD, password)
    browser.click(SUBMIT)
    # It asks once for each person.
    browser.until(lambda _: browser.visible(CONSENT) or NAME not in browser.url, "the provider does not go on")
    if browser.visible(CONSENT):
        browser.click(CONSENT)
    browser.until(lambda _: NAME not in browser.url, "the provider does not lead back")


@pytest.mark.usefixtures("provider")
def test_a_person_of_the_provider_has_the_roles_of_his_groups_as_long_as_he_is_in_them(
    site: Site, desk: Outsider, services: Any
) -> None:
    with browsing(desk, HOME, PICTURES) as browser:
        log_in_by_provider(site, browser, "alan", ALAN)
        browser.see(DAGS)
        browser.picture("openid")
    assert roles(site, "alan") == {"Public", "Op"}
    canaille(services, "set", "group", "operators", "--members", "kurt")
    with browsing(desk, HOME, PICTURES) as browser:
        log_in_by_provider(site, browser, "alan", ALAN)
    assert roles(site, "alan") == {"Public"}


@pytest.mark.usefixtures("provider")
@pytest.mark.parametrize("username", ["admin", "eve"])
def test_the_provider_does_not_have_the_name_or_the_address_of_another_account(
    site: Site, desk: Outsider, username: str
) -> None:
    before = roles(site, "admin")
    with browsing(desk, HOME, PICTURES) as browser:
        log_in_by_provider(site, browser, username, ALAN)
        browser.see(ALERT)
    assert roles(site, "admin") == before


@pytest.mark.usefixtures("provider")
def test_the_administrator_logs_in_without_the_provider(site: Site, desk: Outsider, services: Any) -> None:
    services.check_output("systemctl stop canaille")
    try:
        with browsing(desk, HOME, PICTURES) as browser:
            browser.open(f"{site.edge_url}/auth/local/login/")
            log_in(browser, "admin", site.secrets["airflow_admin_password"])
            browser.see(DAGS)
        assert site.airflow().request("GET", "/api/v2/pools")["pools"]
    finally:
        services.check_output("systemctl start canaille")


@pytest.mark.usefixtures("provider")
def test_task_code_cannot_read_how_airflow_is_known_at_the_provider(node: Any) -> None:
    assert node.file("/etc/airflow/credentials/oauth_client_secrets").mode == 0o600
    assert not node.file("/etc/airflow/credentials/ldap_bind_password").exists
    assert CLIENT_SECRET not in node.check_output("cat /etc/airflow/webserver_config.py")
    units = node.check_output("grep -l oauth_client_secrets /etc/systemd/system/airflow-*.service").split()
    assert [Path(unit).name for unit in units] == ["airflow-api-server.service"]
