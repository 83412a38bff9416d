"""A real browser that reaches this machine alone, and complains about whatever its console complains about."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, sync_playwright

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Closed with its module: while Playwright runs, no test of this process can start an event loop."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    assert program, "no Chromium: type `bash tests/need-browser.sh`"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def problems() -> Iterator[list[str]]:
    """What browsers complained about. It must be empty in the end: a test that means trouble clears it."""
    seen: list[str] = []
    yield seen
    assert seen == []


@pytest.fixture
def context(
    browser: Browser, problems: list[str], serve: Callable[[Any], str]
) -> Iterator[Callable[..., BrowserContext]]:
    """`context(locale="zh-CN", …)` → a fresh browser of one visitor. Closed before the servers of `serve` are."""
    opened = []

    def open_context(**options: Any) -> BrowserContext:
        context = browser.new_context(**{"locale": "en-GB", **options})
        context.set_default_timeout(10_000)
        context.route("https://shop.example/*.png", _send_picture)
        context.on("console", lambda line: problems.append(line.text) if line.type in ("error", "warning") else None)
        context.on("weberror", lambda error: problems.append(str(error.error)))
        opened.append(context)
        return context

    yield open_context
    for one in opened:
        one.close()


def _send_picture(route: Route) -> None:
    route.fulfill(body=PICTURE, content_type="image/png")


@pytest.fixture
def visit(context: Callable[..., BrowserContext]) -> Callable[..., Page]:
    """`visit(address, locale=…)` → the page, once the chat has come up."""

    def open_page(address: str, **options: Any) -> Page:
        page = context(**options).new_page()
        page.goto(address)
        page.locator("frontdesk-chat").wait_for(state="attached")
        return page

    return open_page
