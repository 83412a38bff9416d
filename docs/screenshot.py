"""Pictures of the web chat as customers see it, from a running bot: `python docs/screenshot.py [address] [folder]`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
SAID = ["What does a transfer abroad cost?", "I want to see my balance", "10002001"]


def main(address: str = "http://localhost:5005", folder: str = "docs") -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        take(browser, address, Path(folder) / "webchat.png")
        browser.close()


def take(browser: Browser, address: str, file: Path) -> None:
    """One conversation, in the light theme and the size of a README."""
    page = browser.new_page(viewport={"width": 860, "height": 860}, device_scale_factor=2)
    page.goto(address)
    for text in SAID:
        say(page, text)
    page.screenshot(path=file)


def say(page: Page, text: str) -> None:
    """Type it and wait for the whole answer."""
    page.get_by_role("textbox").fill(text)
    page.keyboard.press("Enter")
    page.locator("frontdesk-chat .turn.user.waiting").wait_for(state="detached")


if __name__ == "__main__":
    main(*sys.argv[1:])
