from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from .chromium import Browser, Page
from .project import served

#: Where the browser and axe.min.js of axe-core are.
CHROMIUM, AXE = "REWIND_CHROMIUM", "REWIND_AXE"


def _axe() -> str:
    path = os.environ.get(AXE)
    if not path:
        pytest.exit(f"{AXE} has to name axe.min.js of axe-core; `nox --session browser` fetches it", 1)
    return Path(path).read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Chromium, and the project that it looks at."""
    executable = Path(os.environ.get(CHROMIUM, "/usr/bin/chromium"))
    folder = tmp_path_factory.mktemp("project")
    with served(folder) as project, Browser.launch(executable, project, _axe()) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A wide and light page in English; what the browser complains of is a failure."""
    with browser.page() as page:
        yield page
        assert page.problems == []
