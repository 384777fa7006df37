"""The site as its users have it: a browser on a host outside of the inventory, at the site's name, over HTTPS."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import testinfra
from airstrip_browser import Browser, browsing, install, trust
from airstrip_edge import all_up, wait_for
from airstrip_outsider import Outsider
from airstrip_site import PROJECT, Site
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver

pytestmark = pytest.mark.only_in("distributed")
DAG = "airstrip_smoke_test"
# What its last task prints, having got the results of the others.
PRINTED = "airstrip: total 12"
PICTURES = PROJECT / ".cache" / "test" / "screenshots"
# Home directories: what a browser trusts lies there.
STAFF, STRANGER = "/home/staff", "/home/stranger"

PAGE = (By.TAG_NAME, "body")
USERNAME = (By.NAME, "username")
PASSWORD = (By.NAME, "password")
LOG_IN = (By.CSS_SELECTOR, "form [type=submit]")
DAGS = (By.CSS_SELECTOR, "[data-testid=nav-dags-link]")
THE_DAG = (By.CSS_SELECTOR, f"a[href$='/dags/{DAG}']")
LAST_RUN = (By.CSS_SELECTOR, "[data-testid=header-card] a[href*='/runs/']")
STATE = (By.CSS_SELECTOR, "[data-testid=header-card] [data-testid=state-badge]")
LAST_TASK = (By.CSS_SELECTOR, "[data-testid=table-list] a[href$='/tasks/total']")
LOG = (By.CSS_SELECTOR, "[data-testid=virtualized-list]")
TRIGGER = (By.CSS_SELECTOR, "[data-testid=trigger-dag-button]")
FRAME = (By.TAG_NAME, "iframe")
CONFIRM = (By.CSS_SELECTOR, "[data-testid=trigger-dag-submit]")


@pytest.fixture(scope="module")
def desk(site: Site, outsider: Outsider) -> Outsider:
    """The outsider with a browser, which finds the site by its name."""
    shutil.rmtree(PICTURES, ignore_errors=True)
    install(outsider)
    outsider.name(site.virtual_address, site.public_name)
    assert site.ca_certificate is not None
    trust(outsider, STAFF, site.ca_certificate.read_text(encoding="utf-8"))
    return outsider


@contextmanager
def without_api_server(site: Site, hostname: str) -> Iterator[None]:
    """Stop the API server of one host. At the end it is back, for the tests that come next."""
    host = testinfra.get_host(site.connection(hostname))
    balancers = [testinfra.get_host(site.connection(name)) for name in site.group("load_balancer")]
    host.check_output("systemctl stop airflow-api-server")
    try:
        yield
    finally:
        host.check_output("systemctl start airflow-api-server")
        wait_for(lambda: all_up(balancers), "the API server is back", 120)


def log_in(browser: Browser, password: str) -> None:
    browser.write(USERNAME, "admin")
    browser.write(PASSWORD, password)
    browser.picture("login")
    browser.click(LOG_IN)
    browser.see(DAGS)
    browser.picture("home")


def read_users(browser: Browser) -> None:
    """Read the list of users, which is not Airflow's own page: it comes in a frame."""
    browser.driver.switch_to.frame(browser.see(FRAME))
    browser.see(PAGE, "List Users")
    browser.driver.switch_to.default_content()


def open_dag(browser: Browser) -> None:
    browser.click(DAGS)
    browser.click(THE_DAG)
    browser.see(LAST_RUN)


def read_log(browser: Browser) -> None:
    """From the page of a run, read what its last task printed."""
    browser.click(LAST_TASK)
    browser.see(LOG, PRINTED)


def trigger(browser: Browser) -> None:
    """From the page of the DAG, start a run and get to its page."""
    browser.click(TRIGGER)
    browser.see(CONFIRM)
    browser.picture("trigger")
    browser.click(CONFIRM)
    browser.until(lambda _: "/runs/" in browser.url, "there is no new run")
    browser.see(STATE)


def wait_for_the_end(browser: Browser) -> str:
    """Stay on the page of a run, which keeps itself up to date, until the run has ended; return its state."""

    def ended(_: WebDriver) -> str:
        return next((state.text for state in browser.visible(STATE) if state.text in {"Success", "Failed"}), "")

    return browser.until(ended, "the run does not end", seconds=120)


def test_people_work_while_an_api_server_is_stopped(site: Site, desk: Outsider) -> None:
    with browsing(desk, STAFF, PICTURES) as browser:
        assert browser.driver.capabilities["acceptInsecureCerts"] is False
        browser.open(f"https://{site.public_name}/")
        log_in(browser, site.secrets["airflow_admin_password"])
        assert {cookie["name"] for cookie in browser.driver.get_cookies() if not cookie["secure"]} == set()

        browser.open(f"https://{site.public_name}/security/users")
        read_users(browser)
        browser.picture("users")

        open_dag(browser)
        browser.picture("dag")
        browser.click(LAST_RUN)
        browser.see(STATE, "Success")
        browser.picture("last-run")
        read_log(browser)
        browser.picture("log")

        open_dag(browser)
        trigger(browser)
        assert wait_for_the_end(browser) == "Success"
        browser.picture("finished")

        with without_api_server(site, site.group("airflow_api_server")[0]):
            # The page that is open goes on.
            open_dag(browser)
            trigger(browser)
            assert wait_for_the_end(browser) == "Success"
            browser.picture("finished-with-one-api-server")
            # A new one asks for no login.
            browser.open(f"https://{site.public_name}/")
            open_dag(browser)
            browser.click(LAST_RUN)
            browser.see(STATE, "Success")
            read_log(browser)
            browser.picture("log-with-one-api-server")


def test_stranger_to_the_authority_is_warned(site: Site, desk: Outsider) -> None:
    with browsing(desk, STRANGER, PICTURES) as browser:
        browser.open(f"https://{site.public_name}/")
        browser.see(PAGE, "NET::ERR_CERT_AUTHORITY_INVALID")
        browser.picture("not-trusted")
