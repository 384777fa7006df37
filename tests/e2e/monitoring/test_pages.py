"""The page of the status with its charts, as a person sees it: in a browser, in light and dark, wide and narrow."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from airstrip_browser import Browser, browsing, install
from airstrip_outsider import Outsider, outside
from airstrip_site import PROJECT, Site
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

CHARTS = yaml.safe_load((PROJECT / "roles" / "status" / "files" / "charts.yml").read_text(encoding="utf-8"))
PICTURES = PROJECT / ".cache" / "test" / "screenshots" / "monitoring"
HOME = "/home/reader"
PAGE = f"{HOME}/status.html"
FIGURE = (By.CSS_SELECTOR, "figure.chart")
DRAWING = (By.CSS_SELECTOR, "figure.chart > svg")
LINE = (By.CSS_SELECTOR, "figure.chart > svg polyline, figure.chart > svg circle")
NUMBER = (By.CSS_SELECTOR, "figure.chart > svg text")
# WCAG 2.2: of graphics, and of text.
GRAPHICS, TEXT = 3.0, 4.5


@pytest.fixture(scope="module")
def page(site: Site, busy: float, tmp_path_factory: pytest.TempPathFactory) -> str:  # noqa: ARG001 - after that time
    """The page as playbooks/status.yml writes it."""
    directory = tmp_path_factory.mktemp("status")
    options = ("-e", f"status_write=true status_directory={directory}")
    result = site.command("ansible-playbook", "playbooks/status.yml", *options)
    assert result.returncode == 0, result.stdout + result.stderr
    return (directory / "status.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def reader(site: Site, page: str) -> Iterator[Outsider]:
    """Somebody whose browser has the page, and nothing else."""
    shutil.rmtree(PICTURES, ignore_errors=True)
    with outside(site.scenario) as outsider:
        install(outsider)
        outsider.check_output(["mkdir", "--parents", HOME])
        outsider.check_output(["tee", PAGE], given=page)
        yield outsider


@pytest.fixture
def browser(reader: Outsider) -> Iterator[Browser]:
    """A browser with the page open."""
    with browsing(reader, HOME, PICTURES) as browser:
        browser.open(f"file://{PAGE}")
        yield browser


def wear(browser: Browser, scheme: str) -> None:
    """Let the browser prefer light or dark, as the settings of a machine do."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    given = {"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}}
    browser.driver.execute("executeCdpCommand", given)


def whole(browser: Browser, width: int) -> None:
    """Make the window as wide as given, and as high as the page: a screenshot shows what the window shows."""
    browser.driver.set_window_size(width, 900)
    height = browser.driver.execute_script("return document.documentElement.scrollHeight")
    browser.driver.set_window_size(width, int(height) + 200)


def colours(browser: Browser, element: WebElement, name: str) -> tuple[Any, Any]:
    """Return a colour of an element and that of the card it lies on, as numbers."""
    script = """
        const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
        const card = arguments[0].closest("section");
        return [numbers(getComputedStyle(arguments[0])[arguments[1]]), numbers(getComputedStyle(card).backgroundColor)];
    """
    found: list[Any] = browser.driver.execute_script(script, element, name)
    return found[0], found[1]


def contrast(one: list[float], other: list[float]) -> float:
    """Return the contrast of two colours, as WCAG works it out: from 1, none, to 21."""

    def light(colour: list[float]) -> float:
        parts = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4
                 for share in (number / 255 for number in colour[:3])]  # fmt: skip
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    darker, lighter = sorted([light(one), light(other)])
    return (lighter + 0.05) / (darker + 0.05)


def test_each_chart_has_data_that_is_seen(browser: Browser) -> None:
    whole(browser, 1300)
    figures = browser.visible(FIGURE)
    assert [figure.find_element(By.TAG_NAME, "figcaption").text for figure in figures] == [
        chart["title"] for chart in CHARTS
    ]
    for figure in figures:
        assert figure.find_elements(By.CSS_SELECTOR, "svg[role=img]"), figure.text
        assert figure.find_elements(By.CSS_SELECTOR, "svg polyline, svg circle"), figure.text
    drawings = browser.visible(DRAWING)
    assert len(drawings) == len(CHARTS)
    for drawing in drawings:
        assert drawing.size["width"] > 250
        assert drawing.size["height"] > 80


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_charts_can_be_read_in_light_and_dark(browser: Browser, scheme: str) -> None:
    wear(browser, scheme)
    whole(browser, 1300)
    browser.picture(f"status-{scheme}")
    card = colours(browser, browser.visible(FIGURE)[0], "color")[1]
    assert (sum(card[:3]) > 384) == (scheme == "light")
    assert len(browser.visible(NUMBER)) > 5 * len(CHARTS)
    for element in browser.visible(NUMBER):
        assert contrast(*colours(browser, element, "fill")) >= TEXT, element.text
    for element in browser.driver.find_elements(*LINE):
        assert contrast(*colours(browser, element, "stroke")) >= GRAPHICS, element.get_attribute("class")


def test_charts_fit_a_telephone(browser: Browser) -> None:
    # Narrower than a window can be: as the developer's tools do it.
    given = {"width": 390, "height": 844, "deviceScaleFactor": 2, "mobile": True}
    browser.driver.execute("executeCdpCommand", {"cmd": "Emulation.setDeviceMetricsOverride", "params": given})
    browser.picture("status-telephone")
    script = "return [document.documentElement.scrollWidth, window.innerWidth]"
    wide, window = browser.driver.execute_script(script)
    assert wide <= window == 390
    drawings = browser.visible(DRAWING)
    assert len(drawings) == len(CHARTS)
    for drawing in drawings:
        assert drawing.location["x"] + drawing.size["width"] <= window


def test_who_does_not_see_a_chart_is_told_what_it_shows(browser: Browser) -> None:
    script = """
        const names = arguments[0].getAttribute("aria-labelledby").split(" ");
        return names.map((name) => document.getElementById(name).textContent);
    """
    for chart, drawing in zip(CHARTS, browser.visible(DRAWING), strict=True):
        title, description = browser.driver.execute_script(script, drawing)
        assert title == chart["title"]
        assert "at the end" in description
        # What the browser itself tells a screen reader.
        assert drawing.accessible_name == f"{title} {description}"
        assert drawing.aria_role in {"img", "image"}


def test_the_page_asks_nobody_for_anything(browser: Browser) -> None:
    script = "return performance.getEntriesByType('resource').map(entry => entry.name)"
    assert browser.driver.execute_script(script) == []
    said = browser.driver.execute("getLog", {"type": "browser"})["value"]
    assert [entry["message"] for entry in said if entry["level"] == "SEVERE"] == []
