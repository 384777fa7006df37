"""Debian's Chromium on a host outside of a site, driven from the controller by WebDriver."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from airstrip_outsider import Outsider
from selenium.common.exceptions import (
    ElementNotInteractableException,
    StaleElementReferenceException,
    WebDriverException,
)
from selenium.webdriver import ChromeOptions, Remote
from selenium.webdriver.common.proxy import Proxy, ProxyType
from selenium.webdriver.remote.client_config import ClientConfig
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

PACKAGES = ("chromium", "chromium-driver", "libnss3-tools")
# How long a page may take to show what is waited for, on a machine that runs a whole site.
PATIENCE = 30
# React draws anew what it has: an element that was found may be gone, or covered by one that goes away.
PASSING = (StaleElementReferenceException, ElementNotInteractableException)

# How an element is found: By.CSS_SELECTOR, By.XPATH or the like, and its value.
Locator = tuple[str, str]
Found = TypeVar("Found")


class Browser:
    """One session of a browser. What it waits for and does not see raises TimeoutException."""

    def __init__(self, driver: WebDriver, pictures: Path) -> None:
        self.driver = driver
        self._pictures = pictures

    def open(self, url: str) -> None:
        """Open a page, as by the address bar; raise WebDriverException if there is none."""
        self.driver.get(url)

    @property
    def url(self) -> str:
        """Address of the page."""
        return self.driver.current_url

    def until(self, condition: Callable[[WebDriver], Found], what: str, seconds: float = PATIENCE) -> Found:
        """Return the first true value of a condition."""
        wait = WebDriverWait(self.driver, seconds, poll_frequency=0.2, ignored_exceptions=PASSING)
        return wait.until(condition, f"{what}, at {self.url}")

    def visible(self, locator: Locator, text: str = "") -> list[WebElement]:
        """Return the elements that are seen now and contain a text."""
        found = self.driver.find_elements(*locator)
        return [element for element in found if element.is_displayed() and text in element.text]

    def see(self, locator: Locator, text: str = "", seconds: float = PATIENCE) -> WebElement:
        """Return the first element that is seen and contains a text, once there is one."""
        return self.until(lambda _: self.visible(locator, text), f"no {locator[1]} with {text!r} is seen", seconds)[0]

    def click(self, locator: Locator, text: str = "") -> None:
        """Click on the first element that is seen and contains a text, once it takes the click."""

        def clicked(_: WebDriver) -> bool:
            found = self.visible(locator, text)
            if found:
                found[0].click()
            return bool(found)

        self.until(clicked, f"no {locator[1]} with {text!r} can be clicked")

    def write(self, locator: Locator, text: str) -> None:
        """Type into a field."""
        self.see(locator).send_keys(text)

    def picture(self, name: str) -> None:
        """Keep a screenshot, with a number in the order of all that were kept."""
        self._pictures.mkdir(parents=True, exist_ok=True)
        number = len(list(self._pictures.glob("*.png"))) + 1
        self.driver.save_screenshot(str(self._pictures / f"{number:02}-{name}.png"))

    def report(self) -> str:
        """Tell where it is, and keep a screenshot of that."""
        try:
            self.picture("failed")
            return f"The browser was at {self.url} ({self.driver.title!r}); screenshots: {self._pictures}"
        except WebDriverException as error:
            return f"The browser tells nothing: {error.msg}"


def install(outsider: Outsider) -> None:
    """Install Debian's Chromium on an outsider."""
    outsider.check_output(["apt-get", "update", "-qq"])
    argv = ["apt-get", "install", "-qq", "--yes", "--no-install-recommends", *PACKAGES]
    outsider.check_output(["env", "DEBIAN_FRONTEND=noninteractive", *argv])


def trust(outsider: Outsider, home: str, certificate: str) -> None:
    """Let the browsers of one home directory trust an authority, as its user would: given in PEM."""
    database = f"{home}/.pki/nssdb"
    outsider.check_output(["mkdir", "--parents", database])
    outsider.check_output(["certutil", "-d", f"sql:{database}", "-N", "--empty-password"])
    outsider.check_output(["certutil", "-d", f"sql:{database}", "-A", "-n", "site", "-t", "C,,"], given=certificate)


@contextmanager
def browsing(outsider: Outsider, home: str, pictures: Path) -> Iterator[Browser]:
    """Start a browser with an empty profile; an error tells where it was then."""
    with _driver_service(outsider, home) as url:
        options = ChromeOptions()
        # The container is the sandbox: Chromium's own needs rights that it has not.
        for argument in ("--headless=new", "--no-sandbox", "--window-size=1600,1000", "--lang=en-US"):
            options.add_argument(argument)
        # Whatever proxy the controller has: the outsider is reached without it. A driver that is given is not
        # downloaded.
        direct = Proxy({"proxyType": ProxyType.DIRECT})
        with Remote(url, options=options, client_config=ClientConfig(url, proxy=direct)) as driver:
            browser = Browser(driver, pictures)
            try:
                yield browser
            except BaseException as error:
                error.add_note(browser.report())
                raise


@contextmanager
def _driver_service(outsider: Outsider, home: str) -> Iterator[str]:
    """Run chromedriver on an outsider; give its URL."""
    outsider.check_output(["mkdir", "--parents", home])
    # A free port, to which all may connect: only the lab can reach the outsider.
    with outsider.running(["chromedriver", "--port=0", "--allowed-ips="], HOME=home) as output:
        for line in output:
            if started := re.search(r"started successfully on port (\d+)", line):
                break
        else:
            raise RuntimeError("chromedriver did not start")
        yield f"http://{outsider.address}:{started[1]}"
