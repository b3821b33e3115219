"""Screenshots of the pages of the running demo, light, dark and at phone width: `make shots`.

    python -m tests.shots [--output FOLDER] [--address URL] [--only board …]

Start the product first (`make run`). The pictures lie in `build/shots`, named `page-theme-width.png`.
"""

import argparse
import os
import shutil
import sys
from pathlib import Path

from playwright.sync_api import Browser, Error, Page, sync_playwright

VIEWS = (("light", 1280, 800), ("dark", 1280, 800), ("light", 360, 740), ("dark", 360, 740))
PAGES = ("sign-in", "board", "deal", "forecast", "day", "inbox", "list", "record", "form", "find")
RECORDS = {"list": "/records/leads", "form": "/records/contacts/new", "find": "/find?q=an"}
TALL = frozenset({"deal", "forecast", "day", "inbox", "record", "form"})
"""Pages that are shown to their end."""
EMAIL, PASSWORD = "manager@demo.example", "demo-manager"
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
]


def sign_in(page: Page) -> None:
    page.goto("/sign-in")
    page.fill("#email", EMAIL)
    page.fill("#password", PASSWORD)
    page.click("form.stack button")
    page.wait_for_url("**/board")


def open_page(page: Page, name: str) -> None:
    """Goes to the page; the deal shown is the board's most likely one with a history to look at."""
    if name == "deal":
        page.goto("/board")
        page.locator("[data-column]").nth(2).locator(".card-link").first.click()
        page.wait_for_selector("[data-deal-page]")
    elif name == "record":
        page.goto("/records/accounts")
        page.locator(".records tbody th a").first.click()
        page.wait_for_selector(".record-page")
    else:
        page.goto(RECORDS.get(name, f"/{name}"))
    page.wait_for_load_state("networkidle")


def shoot(browser: Browser, address: str, output: Path, names: list[str]) -> list[Path]:
    """Takes all pictures; answers their paths."""
    made = []
    for theme, width, height in VIEWS:
        context = browser.new_context(
            base_url=address,
            color_scheme="dark" if theme == "dark" else "light",
            viewport={"width": width, "height": height},
            device_scale_factor=2 if width < 500 else 1,
        )
        page = context.new_page()
        for name in names:
            if name == "sign-in":
                page.goto("/sign-in")
            elif "/sign-in" in page.url or page.url == "about:blank":
                sign_in(page)
            open_page(page, name)
            path = output / f"{name}-{theme}-{width}.png"
            page.screenshot(path=path, full_page=name in TALL)
            made.append(path)
        context.close()
    return made


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.shots", description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=Path("build/shots"))
    parser.add_argument("--address", default=f"http://127.0.0.1:{os.environ.get('PORT', '8000')}")
    parser.add_argument("--only", nargs="+", choices=PAGES, default=list(PAGES))
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.stderr.write("Screenshots need Chromium: apt-get install chromium.\n")
        return 1
    arguments.output.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=QUIET)
        try:
            made = shoot(browser, arguments.address, arguments.output, arguments.only)
        except Error as error:
            reason = error.message.splitlines()[0]
            sys.stderr.write(f"{arguments.address} shows no demo: {reason}\nStart it with make run.\n")
            return 1
    sys.stdout.writelines(f"{path}\n" for path in made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
