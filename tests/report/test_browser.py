"""The report in a real browser, opened from disk."""

import shutil
from importlib.util import find_spec

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
pytestmark = [
    pytest.mark.skipif(
        not (CHROMIUM and find_spec("playwright")), reason="Chromium or playwright is not here"
    ),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield made
        made.close()


@pytest.fixture
def opened(browser, hostile):
    """Opens a page of the report; what went wrong in it."""
    wrong, pages = [], []

    def open_page(name="index.html", width=1280):
        page = browser.new_page(viewport={"width": width, "height": 800})
        pages.append(page)
        page.on("console", lambda message: wrong.append(message.text))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("requestfailed", lambda request: wrong.append(request.url))
        page.on("dialog", lambda dialog: wrong.append(dialog.message) or dialog.dismiss())
        page.goto((hostile / "report" / name).as_uri())
        page.evaluate(
            'for (const image of document.images) image.loading = "eager";'
            "Promise.all([...document.images].map(image => image.decode()))"
        )
        return page

    yield open_page, wrong
    for page in pages:
        page.close()


def test_nothing_in_the_data_runs_and_all_pictures_load(opened, hostile):
    open_page, wrong = opened
    for name in (
        "index.html",
        *(f"samples/{p.name}" for p in (hostile / "report/samples").iterdir()),
    ):
        page = open_page(name)
        assert page.evaluate("document.images.length") > 0
        assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
        assert page.title() != "taken"
        assert page.locator("h1").is_visible()
    assert wrong == []


def test_a_script_that_found_its_way_into_the_page_would_be_refused(opened):
    open_page, wrong = opened
    page = open_page()
    page.evaluate(
        'const s = document.createElement("script"); s.textContent = "document.title = 1";'
        "document.body.append(s)"
    )
    assert page.title() != "1"
    assert any("Content Security Policy" in message for message in wrong)


def test_filters_show_what_fits(opened, hostile):
    open_page, wrong = opened
    page = open_page()
    gallery = page.locator("#gallery figure:visible")
    whole = gallery.count()
    form = page.locator("form[data-of=gallery]")
    seen = 0
    people = form.locator("select[name=people]")
    for value in people.locator("option").all_inner_texts()[1:]:
        people.select_option(value)
        seen += gallery.count()
        assert form.locator("output").inner_text() == f"{gallery.count()} of {whole}"
    assert seen == whole
    people.select_option("")
    form.locator("input").fill("ALERT(1)")
    captions = page.locator("#gallery figure:visible figcaption").all_inner_texts()
    assert captions
    assert all("alert(1)" in caption for caption in captions)
    reasons = page.locator("form[data-of=lost] select")
    reasons.select_option("no_person")
    shown = page.locator("#lost section:visible")
    assert shown.count() == 1
    assert "no_person" in shown.inner_text()
    assert wrong == []


def test_a_picture_leads_to_all_that_is_known_and_back(opened):
    open_page, _ = opened
    page = open_page()
    figure = page.locator("#gallery figure").first
    key = figure.get_attribute("id")
    figure.locator("a").click()
    assert page.url.endswith(f"samples/{key}.html")
    assert page.get_by_text("sha256", exact=True).is_visible()
    page.locator("a").first.click()
    assert page.url.endswith(f"index.html#{key}")


def test_a_phone_need_not_scroll_sideways(opened, hostile):
    open_page, _ = opened
    sample = next((hostile / "report/samples").iterdir()).name
    for name in ("index.html", f"samples/{sample}"):
        page = open_page(name, width=360)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
