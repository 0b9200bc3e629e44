"""The documentation names everything that a user can name, in its place, and its examples print what they show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path

import pytest
from django.core.management import load_command_class
from django.core.management.base import BaseCommand

from django_rewind import signals
from tests.support.console import Beginnings, play, stories_of
from tests.support.helpers import Project

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "django_rewind"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def sections(name: str) -> dict[str, str]:
    """Return what stands below each heading of the second level."""
    _, *pieces = re.split(r"^## (.*)$", page(name), flags=re.MULTILINE)
    return dict(zip(pieces[::2], pieces[1::2]))


def found_in_the_source(pattern: str) -> list[str]:
    texts = (path.read_text(encoding="utf-8") for path in sorted(PACKAGE.rglob("*.py")))
    return sorted({match for text in texts for match in re.findall(pattern, text)})


def commands() -> list[str]:
    folder = PACKAGE / "management" / "commands"
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def options_of(name: str) -> list[str]:
    """Return the options of a command that are not those of every command."""

    def all_of(command: BaseCommand) -> set[str]:
        parser = command.create_parser("manage.py", name)
        return {option for action in parser._actions for option in action.option_strings}

    return sorted(all_of(load_command_class("django_rewind", name)) - all_of(BaseCommand()))


CHECKS = found_in_the_source(r"\bdjango_rewind\.([EWI]\d{3})\b")
SETTINGS = found_in_the_source(r"\bDJANGO_REWIND_[A-Z_]+\b")


@pytest.mark.parametrize("name", commands())
def test_every_command_has_its_section(name):
    """Under its name, and a line on top of the page."""
    assert name in sections("commands.md")
    assert f"| [`{name}`](#{name}) |" in page("commands.md")


@pytest.mark.parametrize(
    "name, option", [(name, option) for name in commands() for option in options_of(name)]
)
def test_every_option_is_documented(name, option):
    """As it is typed, in the section of its command or in the one about all of them."""
    found = sections("commands.md")
    text = (
        found[name] + found["What they have in common"]
        if option in ("--database", "--format")
        else found[name]
    )
    assert re.search(rf"`{option}[ `]", text)


@pytest.mark.parametrize("name", signals.__all__)
def test_every_signal_is_documented(name):
    """In the table of signals."""
    assert re.search(rf"^\|.*`{name}`.*\|$", page("signals.md"), re.MULTILINE)


def test_every_setting_has_its_section():
    """And nothing else has one."""
    assert sorted(sections("settings.md")) == SETTINGS


def test_every_check_has_its_section():
    """And nothing else has one."""
    assert sorted(sections("checks.md")) == sorted(CHECKS)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_only_what_there_is_is_named(path):
    """A setting, a check or a command that is gone, or misspelt, is named nowhere."""
    text = path.read_text(encoding="utf-8")
    assert set(re.findall(r"\bDJANGO_REWIND_[A-Z_]+\b", text)) <= set(SETTINGS)
    assert set(re.findall(r"\bdjango_rewind\.([EWI]\d{3})\b", text)) <= set(CHECKS)
    ours = set(re.findall(r"manage\.py (\w*(?:rewind|migration)\w*)", text))
    assert ours <= {*commands(), "showmigrations", "makemigrations", "squashmigrations"}


def anchors_of(path: Path) -> set[str]:
    """Return the anchors that GitHub and MyST make of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize(
    "path",
    [*PAGES, *(ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md"))],
    ids=lambda path: path.name,
)
def test_links_lead_somewhere(path):
    """Those to other files, and to sections, read as they stand here."""
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([\w-]+))?\)", path.read_text(encoding="utf-8")):
        file = path.parent / target if target else path
        assert file.is_file(), target
        assert not anchor or anchor in anchors_of(file), (target, anchor)


def test_a_package_index_shows_no_dead_links():
    """The files that the README names in its links are in the repository alone."""
    of_package = metadata("django-rewind")
    # As a header where the backport of importlib.metadata is in use.
    shown = str(of_package.get_payload() or of_package["Description"])
    assert "# django-rewind" in shown
    assert re.findall(r"\]\((?!https?://)[^)]+\)", shown) == []


def test_every_page_is_in_the_table_of_contents():
    """Once."""
    listed = re.findall(r"^([a-z-]+)$", page("index.md"), re.MULTILINE)
    assert sorted(listed) == sorted(path.stem for path in PAGES if path.name not in ("README.md", "index.md"))


def test_there_is_something_to_document():
    """What is looked for above is found."""
    assert {"rewind", "show_stored_migrations"} <= set(commands())
    assert {"--database", "--no-input", "--plan"} <= set(options_of("rewind"))
    assert "W001" in CHECKS
    assert "DJANGO_REWIND_ENABLED" in SETTINGS


@pytest.fixture(scope="module")
def beginnings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beginnings]:
    beginnings = Beginnings(tmp_path_factory.mktemp("beginnings"))
    yield beginnings
    beginnings.close()


@pytest.mark.alone
@pytest.mark.deep
@pytest.mark.once
@pytest.mark.parametrize("story", [story for path in PAGES for story in stories_of(path)], ids=str)
def test_examples_print_what_they_show(story, beginnings, tmp_path):
    """Every console block below a comment that names a story, but for times, digests, paths and hashes."""
    project = beginnings.copy(story.begins, tmp_path)
    for shown, printed in play(story, project):
        assert printed == shown
    project.close()


def test_a_word_that_is_not_printed_fails(tmp_path):
    """What passes is nothing more than what is another each time."""
    path = tmp_path / "page.md"
    path.write_text("<!-- console: on main -->\n```console\n$ echo $?\n0\n$ echo $?\n1\n```\n")
    (story,) = stories_of(path)
    assert [shown == printed for shown, printed in play(story, Project(tmp_path))] == [True, False]


def test_marks_are_not_overlooked():
    """Each comment about a console block stands right above one, and names a story that there is."""
    for path in PAGES:
        marks = re.findall(r"<!-- console: ([\w ]+) -->", path.read_text(encoding="utf-8"))
        blocks = [block for story in stories_of(path) for block in story.blocks]
        assert len(marks) == len(blocks), path
        assert {*marks} <= {*Beginnings.names(), "and then"}, path
