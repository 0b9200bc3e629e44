"""What a browser makes of the pages: nothing forbidden, nothing out of place, nothing out of reach."""

from __future__ import annotations

import re

import pytest

PAGES = ["list", "detail", "diff", "graph", "overview"]


@pytest.mark.parametrize(
    "width, scheme, language",
    [
        (1200, "light", "en-US"),
        (1200, "dark", "ar"),
        (420, "light", "he"),
        (340, "dark", "de-DE"),
    ],
)
def test_every_page_is_in_order(browser, width, scheme, language):
    """Wide and narrow, light and dark, from left to right and from right to left."""
    with browser.page(width=width, scheme=scheme, language=language) as page:
        faults = {}
        for name in PAGES:
            shown = page.open(name)
            direction = "rtl" if language in ("ar", "he") else "ltr"
            assert shown.locator("html").get_attribute("dir") == direction
            # Which way it is read is nothing that axe-core asks about.
            faults[name] = page.faults(with_axe=direction == "ltr")
            page.problems.clear()
    assert {name: found for name, found in faults.items() if found} == {}


def test_names_and_states_are_read_in_their_order(browser):
    """From right to left too: a name that begins with digits is not torn apart, nor a sign from its word."""
    with browser.page(language="he") as page:
        found = {}
        for name in ("list", "detail", "graph"):
            shown = page.open(name)
            shown.evaluate("() => document.querySelectorAll('details').forEach(one => { one.open = true; })")
            found[name] = shown.evaluate(REORDERED)
    assert found == {"list": [], "detail": [], "graph": []}


# Names whose first letter is right of their last, and states that lie across one another.
REORDERED = """
    () => {
        const left = (node, at) => {
            const range = document.createRange();
            range.setStart(node, at);
            range.setEnd(node, at + 1);
            return range.getBoundingClientRect().left;
        };
        const found = [];
        const walker = document.createTreeWalker(document.querySelector('#content'), NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            const node = walker.currentNode, text = node.textContent;
            if (/^\\d+_\\w+(, \\d+_\\w+)*$/.test(text) && left(node, 0) > left(node, text.length - 1)) {
                found.push(text);
            }
        }
        const states = [...document.querySelectorAll('h2 .rewind-state')];
        const boxes = states.map(one => one.getBoundingClientRect());
        boxes.forEach((box, at) => {
            const next = boxes[at + 1];
            if (next && Math.min(box.right, next.right) > Math.max(box.left, next.left)) {
                found.push(states[at].textContent);
            }
        });
        return found;
    }
"""


def test_the_policy_is_in_force(browser):
    """Otherwise none of these tests would find what it forbids."""
    with browser.page() as page:
        shown = page.open("detail")
        was_run = shown.evaluate("""
            () => {
                const script = document.createElement('script');
                script.textContent = 'window.wasRun = true';
                document.body.append(script);
                document.body.setAttribute('style', 'color: red');
                return window.wasRun === true;
            }
        """)
        assert not was_run
        assert [bool(re.search("inline (script|style)", one)) for one in page.problems] == [True, True]


def test_what_is_out_of_order_is_seen(browser):
    """These are the faults that the tests look for."""
    with browser.page(width=420) as page:
        shown = page.open("detail")
        shown.evaluate("""
            () => {
                const box = document.querySelector('.rewind-box');
                box.style.minWidth = '900px';
                const [first, second] = box.querySelectorAll('p');
                second.style.marginTop = '-1.2em';
                second.style.color = '#eee';
            }
        """)
        found = " ".join(page.faults())
    assert "scrolls sideways" in found
    assert "overlap: " in found
    assert "color-contrast (serious)" in found


def test_the_theme_that_was_chosen_wins(page):
    """The colours of the system give way to the button of the admin."""
    shown = page.open("detail")
    as_system = {}
    for scheme in ("light", "dark"):
        shown.emulate_media(color_scheme=scheme)
        as_system[scheme] = colours(shown)
    assert as_system["light"] != as_system["dark"]
    for system, chosen in (("light", "dark"), ("dark", "light")):
        shown.emulate_media(color_scheme=system)
        shown.evaluate("theme => document.documentElement.dataset.theme = theme", chosen)
        assert colours(shown) == as_system[chosen]


def colours(shown) -> list[str]:
    return shown.evaluate("""
        () => ['.rewind-box .rewind-state', '.rewind-keyword', '.rewind-string', '.rewind-source']
            .map(one => getComputedStyle(document.querySelector(one)))
            .map(one => `${one.color} ${one.backgroundColor}`)
    """)


def test_a_line_can_be_linked_to(page):
    """It is in sight, and marked; its number leads to it."""
    shown = page.open("detail", "#L9")
    assert shown.locator(":target").get_attribute("id") == "L9"
    backgrounds = [
        shown.locator(f"#{one}").evaluate("one => getComputedStyle(one).backgroundColor")
        for one in ("L8", "L9")
    ]
    assert backgrounds[0] != backgrounds[1]
    wait_until_in_sight(shown, "#L9")
    shown.locator("#L3 a").click()
    shown.wait_for_url("**#L3")
    assert shown.locator(":target").inner_text().startswith("from django.db import")


def wait_until_in_sight(shown, selector: str) -> None:
    """Wait for what is scrolled to; a browser that is busy takes its time."""
    shown.wait_for_function(
        """
            selector => {
                const {top, bottom, left} = document.querySelector(selector).getBoundingClientRect();
                return top >= 0 && bottom <= innerHeight + 1 && left >= 0;
            }
        """,
        arg=selector,
    )


def test_line_numbers_are_not_copied(page):
    """Who selects the source has the source."""
    shown = page.open("detail")
    shown.locator(".rewind-source code").first.evaluate("one => getSelection().selectAllChildren(one)")
    copied = shown.evaluate("() => getSelection().toString()")
    assert copied.startswith('"""0004_refund"""\n\nfrom django.db import')


def test_a_command_is_copied(page):
    """By a button, which says that it has."""
    page.handle.context.grant_permissions(["clipboard-read", "clipboard-write"])
    shown = page.open("detail")
    shown.get_by_role("button", name="Copy").nth(1).press("Enter")
    shown.get_by_role("button", name="Copied").wait_for()
    assert shown.evaluate("() => navigator.clipboard.readText()") == "python manage.py rewind"


def test_texts_are_chosen_and_compared(page):
    """With the keyboard, on one page."""
    shown = page.open("detail")
    assert shown.locator(".rewind-choice").count() == 0
    shown = page.open("diff")
    assert "IntegerField" in shown.locator(".rewind-changed").first.inner_text()
    shown.get_by_label("From").press("End")
    shown.get_by_role("button", name="Compare").press("Enter")
    shown.wait_for_url("**from=file**")
    assert shown.url.endswith("#rewind-differences")
    assert "The texts are the same." in shown.locator("main").inner_text()
