"""The README's picture: two parts of the demo's report, as Chromium shows them, side by side.

python scripts/report_picture.py runs/demo docs/report.jpg
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import Page, sync_playwright

WIDTH, HEIGHT = 1000, 1300
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")
EAGER = (
    "for (const image of document.images) image.loading = 'eager';"
    "Promise.all([...document.images].map(image => image.decode()))"
)


def part(page: Page, start: str) -> np.ndarray:
    """The page from an element on."""
    page.evaluate(f"document.querySelector('{start}').scrollIntoView()")
    data = np.frombuffer(page.screenshot(), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    page_file = (options.root / "report" / "index.html").absolute()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=list(QUIET)
        )
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(page_file.as_uri())
        page.evaluate(EAGER)
        shown = np.hstack([part(page, "h1"), part(page, "#kept")])
        browser.close()
    shown = cv2.resize(shown, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(options.out), shown, [cv2.IMWRITE_JPEG_QUALITY, 82])


if __name__ == "__main__":
    main()
