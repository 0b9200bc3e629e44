"""
The hook that git runs after a checkout, and what happens when it does.

git calls `main` in a fresh interpreter, before Django is there: so nothing of Django
is imported here at the top. It decides whether there is anything to look at, and hands
over to manage.py, whose command `rewind_hook run` looks into the database.

Nothing here ever fails a checkout, and nothing takes longer than was agreed.

manage.py is that of the commit that was checked out, which somebody else may have written. It is run only where
the checkout has changed neither it nor the settings, unless that was chosen at installation. The same holds for
the interpreter and for this package, where they lie in the work tree: git is asked before they are started.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import signal
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import Enum
from itertools import product
from pathlib import Path
from typing import TextIO

from ..utils.files import read_file, write_all
from .repository import WorkTree
from .startup import Startup

NAME = "post-checkout"
BEGIN = "# >>> django-rewind >>>"
END = "# <<< django-rewind <<<"

# What the interpreter is started with: nothing is imported from the folder that git starts us in, nor from
# PYTHONPATH, which may name folders of the work tree.
_BOOT = (
    "import sys; sys.path[:] = [*filter(None, sys.path), {place}]; "
    "from django_rewind.git.hook import main; main(sys.argv)"
)
_PYTHONPATH = "REWIND_HOOK_PYTHONPATH"

_BLOCK = """\
{begin}
# 'manage.py rewind_hook install' has written this, and 'uninstall' removes it.
# It runs manage.py of what was checked out. Read 'manage.py rewind_hook --help' on that.
(
    python={python}
    [ "${{3-}}" = 1 ] && [ -x "$python" ] || exit 0
{guard}    {variable}="${{PYTHONPATH-}}" PYTHONPATH= "$python" -B -c {boot} {choices} "$@" </dev/null || [ "$?" != {killed} ] ||
        echo {late}
) 2>/dev/null || :
{end}
"""

_GUARD = """\
    case "$1" in *[!0]*) ;; *) exit 0 ;; esac
    git --no-replace-objects diff-tree --quiet -r --no-ext-diff "$1" "$2" -- {places} || {{
        echo {changed}
        exit 0
    }}
"""

# Shells that understand the lines above.
_SHELLS = {"ash", "bash", "busybox", "dash", "ksh", "mksh", "sh", "zsh"}

# Of git's variables, those that name a repository.
_GIT_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX")


class HookError(Exception):
    """A hook cannot be installed or removed: the message says why and what helps."""


# The hook -----------------------------------------------------------------------


@dataclass(frozen=True)
class Choices:
    """What was chosen when the hook was installed; it stands in the hook as JSON."""

    # Relative to the top of the work tree, if it lies there: each has its own.
    manage: str
    database: str = "default"
    settings: str = ""
    # Seconds.
    timeout: int = 20
    auto: bool = False
    allow_data_loss: bool = False
    # Where other repositories run the same hook: the one that this is for.
    repository: str = ""
    # The settings of the process that has installed it.
    module: str = ""
    # What is executed before manage.py and lies in the work tree: the interpreter, this package.
    guarded: Sequence[str] = ()
    # Whether manage.py is run although the checkout has changed it, or the settings.
    trusts: bool = False

    def as_text(self) -> str:
        """Return JSON, in ASCII: what a shell makes of other letters depends on its locale."""
        defaults = asdict(Choices(self.manage))
        chosen = {name: value for name, value in asdict(self).items() if value != defaults[name]}
        return json.dumps({"manage": self.manage, **chosen})

    @classmethod
    def from_text(cls, text: str) -> Choices:
        """Return what `as_text` wrote, or raise a ValueError."""
        try:
            choices = cls(**json.loads(text))
            return replace(choices, guarded=tuple(choices.guarded))
        except TypeError as error:
            raise ValueError(str(error)) from None


class State(Enum):
    INSTALLED = "installed"
    OUTDATED = "outdated"
    # Another hook, in which ours is not.
    FOREIGN = "foreign"
    NONE = "not installed"


@dataclass(frozen=True)
class Status:
    """What there is of a hook, and what is to be said of it."""

    state: State
    choices: Choices | None = None
    remark: str = ""


class Hook:
    """
    The hook of a work tree, between markers in a file that may hold others.

    Ours come first in the file: another may end by `exit` or `exec`.
    """

    def __init__(self, tree: WorkTree) -> None:
        self.tree = tree
        self.path = tree.hooks / NAME

    def status(self) -> Status:
        text = self._text()
        if text is None:
            return Status(State.NONE)
        found = _block_in(text)
        if not found:
            return Status(State.FOREIGN, remark=self._why_not_shared(text))
        python, choices = _read(found)
        if choices is None:
            return Status(State.OUTDATED, remark="Another version of django-rewind has written it.")
        if self._serves_another(choices):
            return Status(State.FOREIGN, choices, f"It serves the repository {choices.repository}.")
        remark = ""
        if found != _block(python, choices):
            remark = "Another version of django-rewind has written it."
        elif not os.access(python, os.X_OK):
            remark = f"The interpreter {python} has gone."
        elif choices.repository not in ("", str(self.tree.common_dir)):
            remark = f"The repository {choices.repository} has gone."
        elif not (self.tree.top / choices.manage).is_file():
            remark = f"{choices.manage} has gone."
        elif not os.access(self.path, os.X_OK):
            remark = "The file is not executable, so git does not run it."
        return Status(State.OUTDATED if remark else State.INSTALLED, choices, remark)

    def install(self, choices: Choices, python: str = sys.executable) -> bool:
        """Write the hook, and return whether that changed anything."""
        if not self.path.resolve().is_relative_to(self.tree.common_dir):
            # Whoever else has the same `core.hooksPath` runs it too.
            choices = replace(choices, repository=str(self.tree.common_dir))
        choices = replace(choices, guarded=tuple(_guarded(self.tree.top, python)))
        block = _block(python, choices)
        text = self._text()
        if text is None:
            self._write(f"#!/bin/sh\n{block}")
            return True
        self._check_repository(_block_in(text))
        reason = self._why_not_shared(text)
        if reason:
            words = [python, "-B", "-c", _boot(), choices.as_text()]
            raise HookError(
                f"{reason}\nHave it run this, with the three arguments that git gives to it:\n"
                f'  {" ".join(map(shlex.quote, words))} "$@"'
            )
        if not os.access(self.path, os.X_OK):
            raise HookError(
                f"The hook {self.path} is not executable, so git does not run it. "
                "Make it executable, or remove it, and try again."
            )
        there = _block_in(text)
        first, _, rest = text.partition("\n")
        changed = text.replace(there, block) if there else f"{first}\n{block}{rest}"
        if changed != text:
            self._write(changed)
        return changed != text

    def uninstall(self) -> bool:
        """Remove the hook and nothing else, and return whether it was there."""
        text = self._text()
        block = _block_in(text or "")
        if not text or not block:
            return False
        self._check_repository(block)
        rest = text.replace(block, "")
        if rest in ("", "#!/bin/sh\n"):
            self.path.unlink()
        else:
            self._write(rest)
        return True

    def _why_not_shared(self, text: str) -> str:
        """Return why ours can never stand in this file, or nothing."""
        if self.path.is_symlink():
            return f"The hook {self.path} is a symbolic link."
        return "" if _is_shell_script(text) else f"The hook {self.path} is not a shell script."

    def _check_repository(self, block: str) -> None:
        choices = _read(block)[1]
        if choices is not None and self._serves_another(choices):
            raise HookError(
                f"The hook {self.path} serves the repository {choices.repository}: uninstall it there first."
            )

    def _serves_another(self, choices: Choices) -> bool:
        is_ours = choices.repository in ("", str(self.tree.common_dir))
        return not is_ours and Path(choices.repository).exists()

    def _text(self) -> str | None:
        try:
            return read_file(self.path).decode("utf-8", "surrogateescape")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise HookError(f"The hook {self.path} cannot be read: {error}.") from error

    def _write(self, text: str) -> None:
        try:
            write_all({self.path: text.encode("utf-8", "surrogateescape")}, executable=True)
        except OSError as error:
            raise HookError(f"The hook {self.path} cannot be written: {error}.") from error


def _block(python: str, choices: Choices) -> str:
    late = f"django-rewind: nothing was looked at, manage.py takes longer than {choices.timeout} seconds."
    return _BLOCK.format(
        begin=BEGIN,
        end=END,
        python=shlex.quote(python),
        guard="" if choices.trusts or not choices.guarded else _guard(choices.guarded),
        variable=_PYTHONPATH,
        boot=shlex.quote(_boot()),
        choices=shlex.quote(choices.as_text()),
        killed=128 + signal.SIGALRM,
        late=shlex.quote(late),
    )


def _boot() -> str:
    # In ASCII, as what is chosen.
    return _BOOT.format(place=ascii(str(Path(__file__).parents[2])))


def _guard(places: Iterable[str]) -> str:
    changed = (
        "django-rewind: nothing was looked at, since this checkout changes the Python that the hook runs. "
        "Look at it, and run manage.py rewind --plan."
    )
    specs = (shlex.quote(f":(top,literal){place}") for place in places)
    return _GUARD.format(places=" ".join(specs), changed=shlex.quote(changed))


def _guarded(top: Path, python: str) -> list[str]:
    """Return what is executed before anything can be looked at, as far as a checkout can change it."""
    places = [Path(python), Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[1]]
    found: list[str] = []
    for path, above in product((*places, *(place.resolve() for place in places)), (top, top.resolve())):
        if path == above:
            # An environment in the project folder itself.
            found += ["bin", "lib", "lib64", "Lib", "Scripts", "pyvenv.cfg"]
        elif above in path.parents:
            found.append(path.relative_to(above).as_posix())
    return list(dict.fromkeys(found))


def _block_in(text: str) -> str:
    """Return our lines in a hook, or nothing."""
    found = re.search(rf"^{re.escape(BEGIN)}\n.*?^{re.escape(END)}(\n|\Z)", text, re.DOTALL | re.MULTILINE)
    if found is None and BEGIN in text:
        raise HookError(
            f"The hook has a line '{BEGIN}' and none '{END}' after it: remove what is left by hand."
        )
    return found.group() if found else ""


def _read(block: str) -> tuple[str, Choices | None]:
    """Return the interpreter and the choices in our lines, as a shell would read them."""
    try:
        words = shlex.split(block, comments=True)
        python = next(word[len("python=") :] for word in words if word.startswith("python="))
        return python, Choices.from_text(words[words.index("-B") + 3])
    except (ValueError, IndexError, StopIteration):
        return "", None


def _is_shell_script(text: str) -> bool:
    first = text.partition("\n")[0]
    words = [Path(word).name for word in first[2:].split() if not word.startswith("-") and "=" not in word]
    program = words[1:2] if words[:1] == ["env"] else words[:1]
    return first.startswith("#!") and bool(program) and program[0] in _SHELLS


# What git calls -----------------------------------------------------------------


@dataclass(frozen=True)
class Call:
    """One checkout, as the command `rewind_hook run` of this process has to know it."""

    choices: Choices
    # The Python files that the checkout took away, from the top of the work tree.
    deleted: Sequence[str]
    # Everything else that is printed goes nowhere.
    stream: TextIO


_calls: list[Call] = []


def current_call() -> Call | None:
    """Return the checkout that this process is about, or None where somebody typed the command."""
    return _calls[-1] if _calls else None


def main(argv: Sequence[str]) -> None:
    """Do what the hook is for. Whatever happens, no checkout fails for it."""
    try:
        _main(*argv[1:])
    except (Exception, SystemExit, KeyboardInterrupt):  # noqa: BLE001, S110
        # No settings, no such command on this branch: there is nothing to say.
        pass


def _main(text: str, old: str, new: str, flag: str) -> None:
    choices = Choices.from_text(text)
    # Nothing catches this one, whatever settings or a driver wait for.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(choices.timeout)
    if is_passed_over(old, new, flag):
        return
    tree = WorkTree.at(Path.cwd())
    if tree is None or tree.is_busy or choices.repository not in ("", str(tree.common_dir)):
        return
    manage = tree.top / choices.manage
    if manage.is_file():
        changes = tree.changes(old, new)
        path = _pythonpath()
        if not choices.trusts and (found := _untrusted(tree, manage, choices, path, changes)):
            sys.stdout.write(f"django-rewind: nothing was looked at, since {found}. {_INSTEAD}\n")
            return
        deleted = [name for name, letter in (changes or {}).items() if letter == "D" and name.endswith(".py")]
        sys.path[:0] = path
        _calls.append(Call(choices, deleted, _silenced()))
        _run(manage, choices)


def _pythonpath() -> list[str]:
    """Return what PYTHONPATH has been, and put it back."""
    value = os.environ.pop(_PYTHONPATH, None)
    if value is None:
        # Another hook calls us, and Python has read it.
        return []
    os.environ["PYTHONPATH"] = value
    return [str(Path.cwd() / entry) for entry in value.split(os.pathsep) if entry]


def _untrusted(
    tree: WorkTree, manage: Path, choices: Choices, path: Iterable[str], changes: Mapping[str, str] | None
) -> str:
    """Return why manage.py is not run: what the checkout has changed of it, or nothing."""
    if changes is None:
        return "git does not say what this checkout changes"
    roots = [manage.parent, *map(Path, (*path, *sys.path))]
    modules = [choices.settings, choices.module, os.environ.get("DJANGO_SETTINGS_MODULE", "")]
    found = Startup(tree.top, roots, changes).first_change(manage, filter(None, modules))
    # Somebody else has given it its name.
    return f"this checkout changes {found.encode('unicode_escape').decode()}" if found else ""


_INSTEAD = "Look at it, and run 'manage.py rewind --plan'."


def is_passed_over(old: str, new: str, flag: str) -> bool:
    """Say whether no other commit was checked out: files only, a clone, a new work tree, a new branch."""
    return flag != "1" or old == new or not old.strip("0")


def _silenced() -> TextIO:
    """Return what stdout was; from now on all that is printed goes nowhere."""
    stream = os.fdopen(os.dup(1), "w", buffering=1, encoding="utf-8", errors="replace")
    null = os.open(os.devnull, os.O_RDWR)
    for number in (1, 2):
        os.dup2(null, number)
    return stream


def _run(manage: Path, choices: Choices) -> None:
    """Do what `python manage.py rewind_hook run` would, in its own folder."""
    for name in _GIT_VARIABLES:
        os.environ.pop(name, None)
    os.chdir(manage.parent)
    sys.path[:] = [str(manage.parent), *filter(None, sys.path)]
    sys.argv = [str(manage), "rewind_hook", "run"]
    if choices.settings:
        sys.argv.append(f"--settings={choices.settings}")
    runpy.run_path(str(manage), run_name="__main__")
