"""A checkout runs manage.py of somebody else's commit: what the hook runs of it, and what it does not."""

from __future__ import annotations

import os
import py_compile
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.conftest import copied
from tests.support.helpers import Project, add

pytestmark = [pytest.mark.alone, pytest.mark.deep, pytest.mark.once]

PRICE = add("product", "price", "IntegerField(default=7)")
LACKING = (
    "django-rewind: 1 applied migration has no file here (shop.0002_price): 'manage.py rewind' undoes it."
)
MARK = "import pathlib\npathlib.Path(__file__).with_name('executed').touch()\n"


@pytest.fixture(scope="module")
def installed(migrated_shop: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A shop with the hook, on feature, whose 0002 is applied; its settings are in git, as a package."""
    project = Project.copy_of(migrated_shop, tmp_path_factory.mktemp("hook") / "shop")
    project.write(".gitignore", "settings.py\n*.sqlite3*\nexecuted\n")
    project.write("conf/__init__.py", "")
    project.write("conf/base.py", "BASE = 1\n")
    project.write("conf/live.py", "from settings import *\nfrom .base import *\n")
    project.write("manage.py", project.read("manage.py").replace('"settings"', '"conf.live"'))
    project.commit("Settings")
    with project.on_branch("feature"):
        project.migration("shop.0002_price", PRICE, after="0001_initial")
        project.manage("migrate")
    project.switch("feature")
    project.manage("rewind_hook", "install", "--timeout", "100")
    yield project
    project.close()


@pytest.fixture
def hooked(installed: Project, tmp_path: Path) -> Iterator[Project]:
    """A copy of it."""
    yield from copied(installed, tmp_path)


def said(project: Project, *args: str, **environ: str) -> list[str]:
    """Check out, and return what the hook says."""
    done = subprocess.run(
        ["git", "checkout", "--quiet", *args],
        cwd=project.path,
        env={**os.environ, "PYTHONPATH": "", **environ},
        check=True,
        capture_output=True,
        text=True,
        timeout=200,
    )
    return (done.stdout + done.stderr).splitlines()


def executed(project: Project) -> list[Path]:
    return list(project.path.rglob("executed"))


def attack(project: Project, files: dict[str, str]) -> None:
    """Have a branch `evil` with some files changed, and be on feature again."""
    project.commit()
    project.git("checkout", "--quiet", "main")
    project.git("checkout", "--quiet", "-b", "evil")
    for name, text in files.items():
        # Never through a link: the interpreter of a virtual environment is one.
        (project.path / name).unlink(missing_ok=True)
        project.write(name, text).chmod(0o755)
        project.git("add", "--force", name)
    project.commit("Evil")
    project.git("checkout", "--quiet", "feature")
    for found in executed(project):
        found.unlink()


def unchecked(tmp_path: Path, text: str) -> bytes:
    """Return bytecode that Python takes for a module without looking at its text."""
    source = tmp_path / "source.py"
    source.write_text(text)
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    compiled = py_compile.compile(str(source), str(tmp_path / "source.pyc"), invalidation_mode=mode)
    return Path(str(compiled)).read_bytes()


def test_the_same_code(hooked):
    """It is run, and says what it always said."""
    assert said(hooked, "main") == [LACKING]
    hooked.write("shop/more.py", "MORE = 1\n")
    hooked.commit()
    assert said(hooked, "main~1") == [LACKING]


@pytest.mark.parametrize(
    "name, text",
    [
        ("manage.py", MARK),
        ("conf/live.py", f"{MARK}from settings import *\n"),
        ("conf/base.py", MARK),
        ("conf/__init__.py", MARK),
        # In the place of another one.
        ("conf/live/__init__.py", MARK),
        ("settings/__init__.py", MARK),
        ("django/__init__.py", MARK),
        ("os.py", MARK),
    ],
)
def test_code_that_a_branch_has_changed(hooked, name, text):
    """It is not run, and the line says why and what to do; nor on the way back."""
    hooked.write("settings.py", hooked.read("settings.py"))
    attack(hooked, {name: text})

    (line,) = said(hooked, "evil")

    assert executed(hooked) == []
    assert line.startswith(f"django-rewind: nothing was looked at, since this checkout changes {name}")
    assert line.endswith("Look at it, and run 'manage.py rewind --plan'.")
    assert len(said(hooked, "main")) == 1
    assert executed(hooked) == []


def test_bytecode(hooked, tmp_path_factory):
    """Python takes some of it without a look at the text, which is as it was."""
    code = unchecked(tmp_path_factory.mktemp("code"), MARK)
    name = f"conf/__pycache__/live.{sys.implementation.cache_tag}.pyc"
    attack(hooked, {})
    hooked.git("checkout", "--quiet", "evil")
    (hooked.path / name).parent.mkdir(exist_ok=True)
    (hooked.path / name).write_bytes(code)
    hooked.git("add", "--force", name)
    hooked.commit("Bytecode")
    hooked.git("checkout", "--quiet", "feature")

    (line,) = said(hooked, "evil")

    assert executed(hooked) == []
    assert f"changes {name}" in line


@pytest.mark.parametrize("name", ["conf", "conf/live.py", "manage.py"])
def test_links(hooked, name):
    """A folder or a file that has become a link to another."""
    hooked.write("other/__init__.py", MARK)
    hooked.write("other/live.py", MARK)
    hooked.commit()
    attack(hooked, {})
    hooked.git("checkout", "--quiet", "evil")
    hooked.write("other/__init__.py", MARK)
    hooked.write("other/live.py", MARK)
    hooked.git("rm", "--quiet", "-r", name)
    shutil.rmtree(hooked.path / name, ignore_errors=True)
    (hooked.path / name).symlink_to({"conf": "other"}.get(name, f"{'../' * name.count('/')}other/live.py"))
    hooked.commit("Links")
    hooked.git("checkout", "--quiet", "feature")

    (line,) = said(hooked, "evil")

    assert executed(hooked) == []
    assert "nothing was looked at" in line


def test_what_a_link_leads_to(hooked):
    """The link is as it was, and what it leads to is not."""
    hooked.write("real/live.py", hooked.read("conf/live.py").replace("from .base import *", ""))
    hooked.delete("conf/live.py")
    (hooked.path / "conf" / "live.py").symlink_to("../real/live.py")
    hooked.commit("A link")
    hooked.git("checkout", "--quiet", "-b", "evil")
    hooked.write("real/live.py", MARK)
    hooked.commit("Evil")
    hooked.git("checkout", "--quiet", "feature")
    for found in executed(hooked):
        found.unlink()
    (line,) = said(hooked, "evil")
    assert executed(hooked) == []
    assert "changes real/live.py" in line


def test_python_path(hooked):
    """Folders of the work tree in PYTHONPATH hold nothing that is imported before it was looked at."""
    attack(hooked, {f"lib/{name}.py": MARK for name in ("json", "sitecustomize", "runpy", "conf")})
    (line,) = said(hooked, "evil", PYTHONPATH=f"lib{os.pathsep}{hooked.path / 'lib'}")
    assert executed(hooked) == []
    assert "changes lib/" in line


def test_settings_that_are_named_elsewhere(hooked):
    """By the environment, or at installation."""
    attack(hooked, {"conf/test.py": f"{MARK}from settings import *\n"})
    hooked.write(
        "manage.py",
        hooked.read("manage.py").replace(
            'os.environ["DJANGO_SETTINGS_MODULE"] = "conf.live"',
            'os.environ.setdefault("DJANGO_SETTINGS_MODULE", "conf." + "live")',
        ),
    )
    hooked.git("update-index", "--assume-unchanged", "manage.py")
    (line,) = said(hooked, "evil", DJANGO_SETTINGS_MODULE="conf.test")
    assert executed(hooked) == []
    assert "changes conf/test.py" in line


@pytest.mark.parametrize("place", [".venv/bin/python", ".venv/pyvenv.cfg"])
def test_an_interpreter_in_the_work_tree(hooked, place):
    """Git is asked before it is started: a branch may have it in its place."""
    venv = hooked.path / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    hooked.write(".gitignore", f"{hooked.read('.gitignore')}.venv\n")
    hooked.commit()
    code = (
        "from django_rewind.git.hook import *; import sys; "
        "print(Hook(WorkTree.at(Path.cwd())).install(Choices('manage.py')))"
    )
    site = subprocess.run(
        [
            sys.executable,
            "-c",
            "import django_rewind, django, os, sys; print(os.pathsep.join(filter(None, sys.path)))",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    done = subprocess.run(
        [str(venv / "bin" / "python"), "-c", code],
        cwd=hooked.path,
        env={**os.environ, "PYTHONPATH": site},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "True\n"
    attack(hooked, {place: "#!/bin/sh\ntouch executed\n"})
    # Git has removed what the branch has; here it was never in git.
    for name, target in ((".venv/bin/python", sys.executable), (".venv/pyvenv.cfg", "/dev/null")):
        if not (hooked.path / name).exists():
            (hooked.path / name).symlink_to(target)

    assert any("changes the Python that the hook runs" in line for line in said(hooked, "--force", "evil"))

    assert executed(hooked) == []


def test_told_otherwise(hooked):
    """Whoever wants it has it run; the status says so."""
    shown = hooked.manage("rewind_hook", "install", "--trust-checkouts", "--timeout", "100").stdout
    assert "even where the checkout changes manage.py or the settings" in shown
    assert "--trust-checkouts" in hooked.manage("rewind_hook", "status").stdout
    attack(hooked, {"conf/base.py": f"{MARK}BASE = 2\n"})
    assert said(hooked, "evil") == [LACKING]
    assert executed(hooked) != []


def test_what_it_runs_is_said_at_installation(hooked):
    """Plainly."""
    shown = hooked.manage("rewind_hook", "install").stdout
    assert "a checkout runs manage.py of what was checked out, with its settings and its apps" in shown
    assert "Where the checkout changes manage.py or the settings, it runs nothing and says so." in shown


def test_names_for_a_terminal(hooked):
    """A branch gives files their names."""
    attack(hooked, {"conf/live.\x1b[2J.py": ""})
    (line,) = said(hooked, "evil")
    assert "\x1b" not in line
    assert "conf/live.\\x1b[2J.py" in line


def test_submodules(hooked, tmp_path_factory):
    """A folder of the settings that is a submodule's from now on."""
    inner = Project(tmp_path_factory.mktemp("inner"))
    inner.write("live.py", MARK)
    inner.commit()
    attack(hooked, {})
    hooked.git("checkout", "--quiet", "evil")
    hooked.git("rm", "--quiet", "-r", "conf")
    shutil.rmtree(hooked.path / "conf", ignore_errors=True)
    hooked.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner.path), "conf")
    hooked.commit("Submodule")
    hooked.git("checkout", "--quiet", "--force", "feature")
    (line,) = said(hooked, "--force", "evil")
    assert executed(hooked) == []
    assert "nothing was looked at, since this checkout changes conf" in line
    inner.close()
