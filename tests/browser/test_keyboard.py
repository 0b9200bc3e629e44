"""The pages without a mouse."""

from __future__ import annotations

import pytest

from .test_pages import wait_until_in_sight

FOCUS = """
    () => {
        const one = document.activeElement;
        const mark = one.querySelector('.rewind-hit');
        const style = getComputedStyle(mark || one);
        const isMarked = mark ? style.stroke !== 'none' : style.outlineStyle !== 'none';
        const title = one.querySelector('title');
        return {name: title && one.closest('svg') ? title.textContent : '', isMarked, inSvg: !!one.closest('svg')};
    }
"""


def walk(shown) -> list[str]:
    """Press Tab until the picture is left, and return what was in focus in it."""
    names: list[str] = []
    for _ in range(100):
        shown.keyboard.press("Tab")
        focus = shown.evaluate(FOCUS)
        if focus["inSvg"]:
            assert focus["isMarked"], focus
            wait_until_in_sight(shown, ":focus")
            names.append(focus["name"])
        elif names:
            return names
    raise AssertionError(f"It has no end: {names}")


@pytest.mark.parametrize("width", [1200, 420])
def test_the_picture_is_walked_through(browser, width):
    """From top to bottom; what is in focus is marked and in sight, and Enter opens it."""
    with browser.page(width=width) as page:
        shown = page.open("graph")
        names = walk(shown)
        assert names == [
            "shop.0001_initial: applied",
            "shop.0002_price: applied, modified",
            "shop.0002_stock: applied",
            "shop.0003_merge: applied",
            "shop.0004_refund: applied, missing",
            "shop.0004_discount: applied",
        ]
        # What is read aloud is what was walked through.
        links = shown.get_by_role("group", name="shop").get_by_role("link")
        assert [one.evaluate("one => one.querySelector('title').textContent") for one in links.all()] == names
        assert shown.get_by_role("link", name="shop.0004_refund: applied, missing").count() == 1
        shown.keyboard.press("Shift+Tab")
        shown.keyboard.press("Enter")
        shown.wait_for_url("**/change/**")
        assert "shop.0004_discount" in shown.title()
        assert page.problems == []


def test_all_apps_lead_to_their_own(page):
    """And from there on to a page, and back to the place in the picture."""
    # All apps are drawn without reading a file: that one was edited is known once it was read.
    page.open("graph")
    shown = page.open("overview")
    names = walk(shown)
    assert "shop: 4 applied, 1 modified, 1 missing, 1 not applied" in names
    shown.get_by_role("link", name="shop: 4").press("Enter")
    shown.wait_for_url("**/graph/shop/")
    shown.get_by_role("link", name="shop.0004_refund").press("Enter")
    shown.wait_for_url("**/change/**")
    shown.get_by_role("link", name="The picture").press("Enter")
    shown.wait_for_url("**/graph/shop/#m*")
    assert shown.locator(":target title").text_content() == "shop.0004_refund: applied, missing"
    wait_until_in_sight(shown, ":target")


def test_the_picture_can_be_had_as_a_table(page):
    """It is opened, and its links are the same."""
    shown = page.open("graph")
    summary = shown.get_by_text("The picture as a table")
    table = shown.locator(".rewind-as-text table")
    assert not table.is_visible()
    summary.press("Enter")
    rows = table.get_by_role("row").all_inner_texts()
    assert ["0004_refund", "applied, missing", "0003_merge"] in [row.split("\t") for row in rows]


@pytest.mark.parametrize("name", ["detail", "diff"])
def test_what_scrolls_can_be_scrolled(browser, name):
    """A text that is wider than the window is in reach of the keyboard."""
    with browser.page(width=420) as page:
        shown = page.open(name)
        scrolled = shown.locator(".rewind-source" if name == "detail" else ".rewind-scroll").first
        assert scrolled.evaluate("one => one.scrollWidth > one.clientWidth")
        scrolled.focus()
        shown.keyboard.press("ArrowRight")
        shown.wait_for_function("() => document.activeElement.scrollLeft > 0")


def test_a_line_of_the_summary_narrows_the_list(page):
    """Each number is a link to what it counts."""
    shown = page.open("list")
    summary = shown.get_by_role("navigation", name="Summary")
    summary.get_by_role("link", name="1 missing").press("Enter")
    shown.wait_for_url("**file=missing**")
    assert shown.locator("#result_list tbody tr").count() == 1
