"""
The console blocks of the documentation that are played again, and the projects that they are played in.

A comment above a block names its story, which begins in a project of its own; one that says `and then` has
the block go on where the one before it has ended:

    <!-- console: left -->
    ```console
    $ python manage.py rewind --check
    ```

A block may hold `python manage.py`, `git`, `rm` and `echo $?`. What stands behind a question is the answer.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from tests.support.helpers import Project, add, create, python

BLOCK = re.compile(r"^<!-- console: ([\w ]+) -->\n```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ (.*)$", re.MULTILINE)
QUESTION = re.compile(r"(\[y/N\] )(\w+)$", re.MULTILINE)

#: What is another each time: moments, durations, digests and hashes, paths; whose machine it is, and what runs there.
PASSING = {
    r"\d{4}-\d\d-\d\d(T| )\d\d:\d\d(:\d\d)?([.]\d+)?( UTC|[+-]\d\d:\d\d)?": "<moment>",
    r"\d+[.]\d+ s\b": "<seconds>",
    r"\b[0-9a-f]{7,64}\b": "<hash>",
    r"(?<=: )/[\w./-]+": "<path>",
    r"by \S+@[\w.-]+": "by <somebody>",
    r"Django [\w.]+, Python [\w.]+": "<versions>",
}


@dataclass(frozen=True)
class Story:
    """Blocks that are played one after the other in one project."""

    page: Path
    begins: str
    blocks: tuple[str, ...]
    line: int

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}:{self.begins}"

    def commands(self) -> Iterator[tuple[str, str]]:
        """Yield each command with what the page has it print."""
        for block in self.blocks:
            _, *pieces = COMMAND.split(block)
            yield from zip(pieces[::2], pieces[1::2])


def stories_of(page: Path) -> list[Story]:
    text = page.read_text(encoding="utf-8")
    found: list[Story] = []
    for match in BLOCK.finditer(text):
        begins, block = match.groups()
        if begins == "and then":
            last = found.pop()
            found.append(Story(page, last.begins, (*last.blocks, block), last.line))
        else:
            found.append(Story(page, begins, (block,), text.count("\n", 0, match.start()) + 1))
    return found


def play(story: Story, project: Project) -> Iterator[tuple[str, str]]:
    """Yield, for each command, what is shown and what it prints, both without what is another each time."""
    code = 0
    for command, shown in story.commands():
        question = QUESTION.search(shown)
        printed, code = _run(project, command, question and question[2], code)
        yield f"$ {command}\n{lasting(shown)}", f"$ {command}\n{lasting(printed)}"


def _run(project: Project, command: str, answer: str | None, code: int) -> tuple[str, int]:
    program, *args = shlex.split(command, comments=True)
    if program == "echo":
        return str(code), 0
    if program == "rm":
        for name in args:
            project.delete(name)
        return "", 0
    if program == "git":
        result = project.call(program, *args)
        return result.output, result.returncode
    assert (program, args[0]) == ("python", "manage.py"), f"Nobody can play '{command}' here."
    result = project.attempt(*args[1:], answer=answer)
    # What is typed at a terminal is shown by it, not by the program.
    return result.output.replace("[y/N] ", f"[y/N] {answer}\n", 1), result.returncode


def lasting(text: str) -> str:
    """Return a text without what is another each time."""
    text = "\n".join(line.rstrip() for line in text.strip().splitlines())
    for pattern, name in PASSING.items():
        text = re.sub(pattern, name, text)
    return text


# Where the stories begin

ORDER = """
class Order(models.Model):
    customer = models.CharField(max_length=100)
"""
PRICE = add("order", "price", "DecimalField(default=0, max_digits=8, decimal_places=2)")
CENTS = add("order", "price", "IntegerField(default=0)")
REFUND = create("Refund", amount="DecimalField(max_digits=8, decimal_places=2)")
FIRST = "0001_initial"
DUMB = "lambda apps, schema_editor: None"


#: By name, which one each begins with itself, and what happens then.
_beginnings: dict[str, tuple[str, Callable[[Project], None]]] = {}


def _after(name: str) -> Callable[[Callable[[Project], None]], Callable[[Project], None]]:
    """Say with which one another beginning begins."""

    def register(function: Callable[[Project], None]) -> Callable[[Project], None]:
        _beginnings[function.__name__.replace("_", " ")] = (name, function)
        return function

    return register


class Beginnings:
    """The projects in which stories begin, each made once, and copied from then on."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Project] = {}

    def copy(self, name: str, path: Path) -> Project:
        return Project.copy_of(self._make(name), path)

    def _make(self, name: str) -> Project:
        if name not in self._made:
            path = self._folder / name.replace(" ", "_")
            if name == "on main":
                self._made[name] = Project(path)
                on_main(self._made[name])
            else:
                before, begin = _beginnings[name]
                self._made[name] = self.copy(before, path)
                begin(self._made[name])
        return self._made[name]

    @staticmethod
    def names() -> set[str]:
        return {"on main", *_beginnings}

    def close(self) -> None:
        for project in self._made.values():
            project.close()


def on_main(project: Project) -> None:
    """On main the shop has 0001, which is applied; feature has 0002 and 0003, which are not."""
    project.git("config", "user.name", "Ada")
    project.git("config", "user.email", "ada@example.com")
    project.app("shop", ORDER)
    project.migration("shop.0001_initial", create("Order", customer="CharField(max_length=100)"))
    project.write(".gitignore", "settings.py\npackages\n*.sqlite3*\n*.rewind-lock\n")
    project.manage("migrate")
    with project.on_branch("feature"):
        project.models(
            "shop",
            f"{ORDER}    price = models.DecimalField(default=0, max_digits=8, decimal_places=2)\n\n\n"
            "class Refund(models.Model):\n"
            "    amount = models.DecimalField(max_digits=8, decimal_places=2)\n",
        )
        project.migration("shop.0002_order_price", PRICE, after=FIRST)
        project.migration("shop.0003_refund", REFUND, after="0002_order_price")


@_after("on main")
def on_feature(project: Project) -> None:
    """The same, and feature is checked out."""
    project.switch("feature")


@_after("on feature")
def applied(project: Project) -> None:
    """Feature is checked out and applied, and there are two orders."""
    project.manage("migrate")
    for customer, price in (("Ada", 3), ("Ben", 4)):
        project.execute("INSERT INTO shop_order (customer, price) VALUES (%s, %s)", customer, price)


@_after("applied")
def left(project: Project) -> None:
    """The same, and main is checked out."""
    project.switch("main")


@_after("left")
def deployed(project: Project) -> None:
    """The same where DEBUG is off."""
    project.configure(DEBUG=False)


@_after("deployed")
def staging(project: Project) -> None:
    """Feature is deployed, and another branch with its own 0002 is checked out."""
    project.branch("notes")
    project.migration("shop.0002_note", add("order", "note", "TextField(null=True)"), after=FIRST)
    project.models("shop", f"{ORDER}    note = models.TextField(null=True)\n")
    project.commit("Notes")


@_after("left")
def without_us(project: Project) -> None:
    """Feature is applied, main is checked out, and we are not installed any more."""
    project.install("shop")


@_after("on main")
def irreversible(project: Project) -> None:
    """What was applied on another branch cannot be taken back."""
    with project.on_branch("cleaning"):
        project.migration("shop.0002_order_price", PRICE, after=FIRST)
        project.migration("shop.0003_clean_up", python(DUMB), after="0002_order_price")
        project.manage("migrate")


@_after("applied")
def edited(project: Project) -> None:
    """The file of 0002 was edited since."""
    project.migration("shop.0002_order_price", CENTS, after=FIRST)
    project.models(
        "shop",
        f"{ORDER}    price = models.IntegerField(default=0)\n\n\n"
        "class Refund(models.Model):\n"
        "    amount = models.DecimalField(max_digits=8, decimal_places=2)\n",
    )


@_after("on main")
def installed_late(project: Project) -> None:
    """Feature was applied before we were installed, and main is checked out."""
    project.manage("migrate", "django_rewind", "zero")
    project.install("shop")
    with project.on_branch("feature"):
        project.manage("migrate")
    project.install("django_rewind", "shop")


@_after("applied")
def squashed(project: Project) -> None:
    """The squash of all three is recorded, and their files are gone."""
    project.manage("squashmigrations", "shop", "0001", "0003", "--noinput")
    project.manage("migrate")
    for name in (FIRST, "0002_order_price", "0003_refund"):
        project.delete(f"shop/migrations/{name}.py")


@_after("squashed")
def squash_without_replaces(project: Project) -> None:
    """The same, and the squash does not say any more what it replaced."""
    name = "shop/migrations/0001_initial_squashed_0003_refund.py"
    project.write(name, re.sub(r"^ +replaces = .*\n", "", project.read(name), flags=re.MULTILINE))


@_after("on main")
def renumbered(project: Project) -> None:
    """Feature's 0002 is applied; rebased on main's 0002 it is 0003."""
    with project.on_branch("price"):
        project.migration("shop.0002_order_price", PRICE, after=FIRST)
        project.manage("migrate")
    project.migration("shop.0002_note", add("order", "note", "TextField(null=True)"), after=FIRST)
    project.migration("shop.0003_order_price", PRICE, after="0002_note")
    project.models(
        "shop",
        f"{ORDER}    note = models.TextField(null=True)\n"
        "    price = models.DecimalField(default=0, max_digits=8, decimal_places=2)\n",
    )


@_after("on main")
def two_databases(project: Project) -> None:
    """Feature is applied to the second one alone, and main is checked out."""
    project.add_database("other")
    with project.on_branch("feature"):
        project.manage("migrate", "--database", "other")
