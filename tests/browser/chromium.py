"""A real browser that looks at pages, and what is wrong with what it shows."""

from __future__ import annotations

import importlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .project import Served

__all__ = ["Browser", "Page"]

_AXE_SAYS = ("serious", "critical")

# Which elements scroll sideways that must not: those that a reader expects to are named.
_SIDEWAYS = """
    () => [...document.querySelectorAll('*')]
        .filter(one => one.scrollWidth > one.clientWidth + 1)
        .filter(one => one === document.documentElement
            || ['auto', 'scroll'].includes(getComputedStyle(one).overflowX))
        .filter(one => !one.closest('.rewind-scroll, .rewind-source, .results, select, #nav-sidebar'))
        .map(one => `${one.tagName.toLowerCase()}.${one.className}: ${one.scrollWidth} > ${one.clientWidth}`)
"""

# Which texts lie on one another, as far as they are to be seen.
_OVERLAPPING = """
    () => {
        const hidden = 'title, desc, option, script, .visually-hidden';
        const clipped = (rect, element) => {
            let {left, top, right, bottom} = rect;
            for (let one = element; one && one !== document.body; one = one.parentElement) {
                if (getComputedStyle(one).overflow !== 'visible') {
                    const box = one.getBoundingClientRect();
                    [left, top] = [Math.max(left, box.left), Math.max(top, box.top)];
                    [right, bottom] = [Math.min(right, box.right), Math.min(bottom, box.bottom)];
                }
            }
            return {left, top, right, bottom};
        };
        const seen = [];
        const walker = document.createTreeWalker(document.querySelector('#container'), NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            const node = walker.currentNode, element = node.parentElement;
            const text = node.textContent.trim();
            if (!text || element.closest(hidden) || !element.checkVisibility()) {
                continue;
            }
            const range = document.createRange();
            range.selectNodeContents(node);
            for (const whole of range.getClientRects()) {
                const rect = clipped(whole, element);
                if (rect.right - rect.left > 2 && rect.bottom - rect.top > 2) {
                    seen.push({text, node, ...rect});
                }
            }
        }
        const found = [];
        seen.sort((a, b) => a.top - b.top);
        seen.forEach((a, at) => {
            for (let next = at + 1; next < seen.length && seen[next].top < a.bottom; next++) {
                const b = seen[next];
                const wide = Math.min(a.right, b.right) - Math.max(a.left, b.left);
                const high = Math.min(a.bottom, b.bottom) - b.top;
                // Lines that are close have their borders, but not their letters, on one another.
                if (a.node !== b.node && wide > 2 && high > 0.4 * Math.min(a.bottom - a.top, b.bottom - b.top)) {
                    found.push(`${a.text.slice(0, 60)} | ${b.text.slice(0, 60)}`);
                }
            }
        });
        return found;
    }
"""


class Page:
    """
    A page of somebody who may look.

    Attributes:
        handle: the page of Playwright.
        problems: what the browser has complained of.
    """

    def __init__(self, context: Any, served: Served, axe: str) -> None:
        self.handle = context.new_page()
        self.served = served
        self.axe = axe
        self.problems: list[str] = []
        self.handle.on("console", self._heard)
        self.handle.on("pageerror", lambda error: self.problems.append(str(error)))

    def _heard(self, message: Any) -> None:
        if message.type == "error" and "favicon" not in message.location.get("url", ""):
            self.problems.append(message.text)

    def open(self, name: str, suffix: str = "") -> Any:
        """Go to a page by its name and return what Playwright has of it."""
        self.handle.goto(f"{self.served.address}{self.served.pages[name]}{suffix}")
        return self.handle

    def faults(self, *, with_axe: bool = True) -> list[str]:
        """Return all that is wrong with the page that is shown."""
        return [
            *self.problems,
            *(f"scrolls sideways: {one}" for one in self.handle.evaluate(_SIDEWAYS)),
            *(f"overlap: {one}" for one in self.handle.evaluate(_OVERLAPPING)),
            *(self._inaccessible() if with_axe else ()),
        ]

    def _inaccessible(self) -> Iterator[str]:
        if not self.axe:
            return
        # Evaluated by the debugger, whom no policy concerns.
        self.handle.evaluate(self.axe)
        found = self.handle.evaluate("axe.run('#content', {resultTypes: ['violations']})")
        for one in found["violations"]:
            if one["impact"] in _AXE_SAYS:
                where = "; ".join(node["html"][:160] for node in one["nodes"][:3])
                yield f"{one['id']} ({one['impact']}): {one['help']}: {where}"


class Browser:
    """
    A browser that is installed; none is downloaded.

    Args:
        axe: the text of axe-core; without it nobody looks for what is inaccessible.
    """

    def __init__(self, launched: Any, served: Served, axe: str = "") -> None:
        self.launched = launched
        self.served = served
        self.axe = axe
        # By language. In each somebody is logged in, and what is static is loaded once.
        self._contexts: dict[str, Any] = {}

    @classmethod
    @contextmanager
    def launch(cls, executable: Path, served: Served, axe: str = "") -> Iterator[Browser]:
        # Installed by whoever looks at pages, and by nobody who checks types.
        sync_playwright = importlib.import_module("playwright.sync_api").sync_playwright
        with sync_playwright() as playwright:
            launched = playwright.chromium.launch(executable_path=str(executable), args=["--no-sandbox"])
            yield cls(launched, served, axe)
            launched.close()

    @contextmanager
    def page(self, *, width: int = 1200, scheme: str = "light", language: str = "en-US") -> Iterator[Page]:
        """
        Show a page to somebody who may look.

        Args:
            width: of the window, in pixels.
            scheme: light or dark.
            language: that the browser asks for.
        """
        page = Page(self._context(language), self.served, self.axe)
        page.handle.set_viewport_size({"width": width, "height": 800})
        page.handle.emulate_media(color_scheme=scheme)
        try:
            yield page
        finally:
            page.handle.close()

    def _context(self, language: str) -> Any:
        if language not in self._contexts:
            who = next(iter(self._contexts.values())).storage_state() if self._contexts else None
            self._contexts[language] = self.launched.new_context(locale=language, storage_state=who)
            if who is None:
                self._log_in(self._contexts[language].new_page())
        return self._contexts[language]

    def _log_in(self, handle: Any) -> None:
        handle.goto(f"{self.served.address}/admin/login/")
        handle.fill("#id_username", "reader")
        handle.fill("#id_password", "reader")
        handle.click("[type=submit]")
        handle.wait_for_url("**/admin/")
        handle.close()
