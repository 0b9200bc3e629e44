"""`manage.py rewind_hook`: git tells, when another branch is checked out, what the database has and the branch lacks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from django_rewind.git.hook import Choices, Hook, State
from django_rewind.git.repository import WorkTree
from tests.scenarios.conftest import copied
from tests.support.helpers import Project, add, create, python

pytestmark = [pytest.mark.alone, pytest.mark.deep, pytest.mark.once]

PRICE = add("product", "price", "IntegerField(default=7)")
LACKING = (
    "django-rewind: 1 applied migration has no file here (shop.0002_price): 'manage.py rewind' undoes it."
)


def git(project: Project, *args: str, at: Path | None = None, **environ: str) -> list[str]:
    """Run git, which succeeds, and return the lines that come from us, or from what the hook started."""
    done = subprocess.run(
        ["git", *args],
        cwd=at or project.path,
        env={**os.environ, "PYTHONPATH": "", **environ},
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return [
        line
        for line in (done.stdout + done.stderr).splitlines()
        if "django-rewind" in line or "noise" in line
    ]


@pytest.fixture
def left(on_feature: Project, tmp_path: Path) -> Iterator[Project]:
    """A shop with the hook, on feature, whose 0002 is applied and has no file on main."""
    yield from copied(on_feature, tmp_path)


@pytest.fixture(scope="module")
def on_feature(migrated_shop: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The same, for all stories here, which begin with copies of it."""
    project = Project.copy_of(migrated_shop, tmp_path_factory.mktemp("hook") / "shop")
    with project.on_branch("feature"):
        project.migration("shop.0002_price", PRICE, after="0001_initial")
        project.manage("migrate")
    git(project, "checkout", "--quiet", "feature")
    # On a busy machine Python may take its time.
    project.manage("rewind_hook", "install", "--timeout", "100")
    yield project
    project.close()


def hook(project: Project) -> Path:
    return project.path / ".git" / "hooks" / "post-checkout"


def test_one_line(left):
    """How many there are, which, and what helps; only where something is missing, and it changes nothing."""
    before = left.snapshot()

    assert git(left, "checkout", "--quiet", "main") == [LACKING]
    assert git(left, "checkout", "--quiet", "feature") == []
    assert git(left, "switch", "--quiet", "main") == [LACKING]

    assert left.snapshot() == before
    assert left.git("symbolic-ref", "HEAD").strip() == "refs/heads/main"
    assert left.git("status", "--porcelain") == ""


def test_what_the_line_says_is_what_helps(left):
    """After the command there is nothing to say any more."""
    left.switch("main")
    left.manage("rewind", "--noinput")
    git(left, "checkout", "--quiet", "feature")
    assert git(left, "checkout", "--quiet", "main") == []


def test_by_hand(left):
    """What the hook runs can be typed, too."""
    left.switch("main")
    assert left.manage("rewind_hook", "run").stdout.splitlines() == [LACKING]


def test_files_only(left):
    """A checkout of files is no checkout of another branch."""
    git(left, "checkout", "--quiet", "main")
    assert git(left, "checkout", "feature", "--", "shop/models.py") == []


def test_the_same_commit(left):
    """A new branch brings nothing new."""
    left.switch("main")
    assert git(left, "checkout", "-b", "another") == []


@pytest.mark.parametrize("way", ["--merge", "--apply"])
def test_rebase(left, way):
    """It checks out on its way; nobody wants to hear of that."""
    left.switch("main")
    left.write("README", "main goes on")
    left.commit()
    git(left, "checkout", "--quiet", "feature")
    assert git(left, "rebase", way, "main") == []
    assert git(left, "checkout", "--quiet", "main") == [LACKING]


def test_a_rebase_that_stops(left):
    """As long as it is under way."""
    left.write("README", "feature")
    left.commit()
    left.switch("main")
    left.write("README", "main")
    left.commit()
    left.switch("feature")
    with pytest.raises(subprocess.CalledProcessError):
        left.git("rebase", "main")
    assert git(left, "checkout", "--quiet", "--force", "main") == []
    git(left, "rebase", "--quit")


def test_bisect(left):
    """It checks out one commit after the other."""
    left.write("README", "more")
    left.commit()
    git(left, "bisect", "start", "feature", "main")
    assert git(left, "bisect", "reset", "main") == []


def test_cherry_pick(left):
    """Of several commits; after one that has stopped there are others to come."""
    for text in ("one", "two"):
        left.write("README", text)
        left.commit()
    left.git("branch", "more")
    git(left, "checkout", "--quiet", "main")
    left.write("README", "mine")
    left.commit()
    git(left, "checkout", "--quiet", "-b", "copy")
    with pytest.raises(subprocess.CalledProcessError):
        left.git("cherry-pick", "more~1", "more")
    assert git(left, "checkout", "--quiet", "--force", "main~1") == []


def test_clone(left, tmp_path_factory):
    """A hook from a template, or from everybody's folder, says nothing in another repository."""
    clones = tmp_path_factory.mktemp("clones")
    template = clones / "template" / "hooks"
    template.mkdir(parents=True)
    (template / "post-checkout").write_bytes(hook(left).read_bytes())
    (template / "post-checkout").chmod(0o755)
    assert (
        git(left, "clone", "--quiet", f"--template={template.parent}", "-b", "main", ".", str(clones / "one"))
        == []
    )
    assert (clones / "one" / ".git" / "hooks" / "post-checkout").exists()


def test_work_trees(left):
    """Each has its own manage.py, and one hook serves them all; to add one is not to change a branch."""
    tree = left.path.parent / f"{left.path.name} tree"
    assert git(left, "worktree", "add", "--quiet", "-b", "other", str(tree), "main") == []
    (tree / "settings.py").write_text(left.read("settings.py"))
    assert git(left, "checkout", "--quiet", "-b", "another", "feature", at=tree) == []
    assert git(left, "checkout", "--quiet", "other", at=tree) == [LACKING]
    left.delete("settings.py")
    assert git(left, "checkout", "--quiet", "feature~0", at=tree) == []
    assert git(left, "checkout", "--quiet", "other", at=tree) == [LACKING]
    left.configure()
    assert f"Installed: {hook(left)}" in run_in(left, tree, "status")


def run_in(project: Project, folder: Path, action: str) -> str:
    return subprocess.run(
        [sys.executable, "manage.py", "rewind_hook", action],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    ).stdout


def test_a_work_tree_without_a_database(left):
    """None is made for the purpose."""
    if left.db().vendor != "sqlite":
        pytest.skip("only SQLite makes databases by itself")
    database = Path(str(left.db().settings["NAME"]))
    kept = database.rename(database.with_suffix(".kept"))
    assert git(left, "checkout", "--quiet", "main") == []
    assert not database.exists()
    kept.rename(database)


@pytest.mark.parametrize("is_absolute", [True, False])
def test_another_folder_for_hooks(left, is_absolute):
    """`core.hooksPath`, relative to the top of the work tree or absolute."""
    left.manage("rewind_hook", "uninstall")
    place = left.path / "packages" / "the hooks"
    left.git("config", "core.hooksPath", str(place) if is_absolute else "packages/the hooks")
    assert "Not installed" in left.manage("rewind_hook", "status").stdout

    assert str(place / "post-checkout") in left.manage("rewind_hook", "install").stdout

    assert not hook(left).exists()
    assert (place / "post-checkout").exists()
    assert git(left, "checkout", "--quiet", "main") == [LACKING]
    assert f"Installed: {place}" in left.manage("rewind_hook", "status").stdout
    left.manage("rewind_hook", "uninstall")
    assert not (place / "post-checkout").exists()


def test_a_folder_for_the_hooks_of_all_repositories(left, tmp_path_factory):
    """The hook serves one repository, and says so to the next."""
    place = tmp_path_factory.mktemp("hooks")
    left.git("config", "core.hooksPath", str(place))
    left.manage("rewind_hook", "install")
    assert git(left, "checkout", "--quiet", "main") == [LACKING]
    other = Project(tmp_path_factory.mktemp("other"))
    try:
        other.commit()
        other.git("config", "core.hooksPath", str(place))
        other.manage("migrate")
        assert "Foreign" in other.manage("rewind_hook", "status").stdout
        other.refused("rewind_hook", "install", naming=str(left.path))
        other.refused("rewind_hook", "uninstall", naming=str(left.path))
        other.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('django_rewind', '0999', '2020-01-01')"
        )
        other.branch("next")
        other.write("x", "")
        other.commit()
        assert git(other, "checkout", "--quiet", "main") == []
    finally:
        other.close()


def test_beside_another_hook(left):
    """Both run, whatever ends the other one; to the byte, it is what it was when ours is removed."""
    left.manage("rewind_hook", "uninstall")
    theirs = b"#!/usr/bin/env bash\nset -eu\necho their rewind hook: $3 \xff >&2\nexit 0\n"
    hook(left).write_bytes(theirs)
    hook(left).chmod(0o750)
    status = left.manage("rewind_hook", "status").stdout
    assert "Foreign" in status
    assert "adds to it" in status

    left.manage("rewind_hook", "install")

    assert hook(left).stat().st_mode & 0o777 == 0o750
    done = subprocess.run(["git", "checkout", "-q", "main"], cwd=left.path, capture_output=True, check=True)
    assert done.stderr.splitlines() == [LACKING.encode(), b"their rewind hook: 1 \xff"]
    assert "Installed already" in left.manage("rewind_hook", "install").stdout
    assert "Uninstalled" in left.manage("rewind_hook", "uninstall").stdout
    assert hook(left).read_bytes() == theirs
    assert hook(left).stat().st_mode & 0o777 == 0o750
    assert "Not installed" in left.manage("rewind_hook", "uninstall").stdout


def test_a_hook_that_fails_fails_as_before(left):
    """What git answers is up to the other one."""
    left.manage("rewind_hook", "uninstall")
    hook(left).write_text("#!/bin/sh\nexit 3\n")
    hook(left).chmod(0o755)
    left.manage("rewind_hook", "install")
    with pytest.raises(subprocess.CalledProcessError) as failed:
        left.git("checkout", "--quiet", "main")
    assert failed.value.stderr.splitlines() == [LACKING]


@pytest.mark.parametrize("first", [f"#!{sys.executable}", "", "#!/usr/bin/env python3", "#!/usr/bin/fish"])
def test_a_hook_that_is_no_shell_script(left, first):
    """It is left as it is, and the line to add by hand does what ours would."""
    left.manage("rewind_hook", "uninstall")
    theirs = f"{first}\nprint('theirs')\n"
    hook(left).write_text(theirs)
    hook(left).chmod(0o755)

    result = left.refused("rewind_hook", "install", naming=("post-checkout", "not a shell script"))

    assert hook(left).read_text() == theirs
    line = result.stderr.rstrip().rpartition("\n")[2]
    hook(left).write_text(f"#!/bin/sh\n{line.strip()}\n")
    assert git(left, "checkout", "--quiet", "main") == [LACKING]


def test_a_hook_that_git_does_not_run(left):
    """Or that is kept elsewhere: it is said what to do."""
    left.manage("rewind_hook", "uninstall")
    hook(left).write_text("#!/bin/sh\nexit 3\n")
    left.refused("rewind_hook", "install", naming="not executable")
    hook(left).unlink()
    (left.path / "tracked").write_text("#!/bin/sh\n")
    hook(left).symlink_to(left.path / "tracked")
    left.refused("rewind_hook", "install", naming="symbolic link")
    assert left.read("tracked") == "#!/bin/sh\n"


def test_nothing_to_say_where_things_are_gone(left):
    """The interpreter, manage.py, settings, the app on an old branch: no checkout fails, and none is commented."""
    original = hook(left).read_text()

    hook(left).write_text(original.replace(sys.executable, "/gone/python"))
    assert git(left, "checkout", "--quiet", "main") == []
    assert "Outdated" in left.manage("rewind_hook", "status").stdout
    hook(left).write_text(original)

    left.write("settings.py", "print('noise')\nraise RuntimeError('noise')\n")
    assert git(left, "checkout", "--quiet", "feature") == []
    assert git(left, "checkout", "--quiet", "main") == []
    left.delete("settings.py")
    assert git(left, "checkout", "--quiet", "feature") == []
    assert git(left, "checkout", "--quiet", "main") == []
    left.install("shop")
    assert git(left, "checkout", "--quiet", "feature") == []
    assert git(left, "checkout", "--quiet", "main") == []
    left.install("django_rewind", "shop")
    left.configure(DJANGO_REWIND_ENABLED=False)
    assert git(left, "checkout", "--quiet", "feature") == []
    assert git(left, "checkout", "--quiet", "main") == []
    left.configure(DJANGO_REWIND_ENABLED=True)
    assert git(left, "checkout", "--quiet", "feature") == []
    assert git(left, "checkout", "--quiet", "main") == [LACKING]
    left.git("mv", "manage.py", "gone.py")
    left.commit()
    (line,) = git(left, "checkout", "--quiet", "main~1")
    assert "nothing was looked at, since this checkout changes manage.py" in line
    assert git(left, "checkout", "--quiet", "main") == []


def test_noise_goes_nowhere(left):
    """What settings print is no business of git's."""
    left.configure(raw="import os\nprint('noise')\nos.write(2, b'noise')\n")
    assert git(left, "checkout", "--quiet", "main") == [LACKING]


def test_a_database_that_does_not_answer(left):
    """Is one line."""
    left.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(left.path / "manage.py")}}
    )
    (line,) = git(left, "checkout", "--quiet", "main")
    assert line.startswith("django-rewind: cannot tell what is missing here (DatabaseError: ")


def test_what_takes_too_long(left):
    """Is given up after the seconds that were agreed."""
    left.manage("rewind_hook", "install", "--timeout", "1")
    left.configure(raw="import time\ntime.sleep(60)\n")
    start = time.monotonic()
    (line,) = git(left, "checkout", "--quiet", "main")
    assert time.monotonic() - start < 50
    assert "longer than 1 seconds" in line


def test_paths_that_shells_make_something_of(left, tmp_path_factory):
    """Spaces, quotes, letters of other languages: in the paths of the project, of manage.py and of the interpreter."""
    folder = tmp_path_factory.mktemp("o") / 'it\'s a «$HOME» "ü" `id` & folder'
    moved = Project.copy_of(left, folder / "the shop")
    try:
        interpreter = folder / "python 'ü'"
        interpreter.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
        interpreter.chmod(0o755)
        tree = WorkTree.at(moved.path)
        installed = Hook(tree)
        installed.install(Choices(manage="manage.py"), str(interpreter))
        assert installed.status().state is State.INSTALLED
        assert git(moved, "checkout", "--quiet", "main") == [LACKING]
        installed.install(Choices(manage=str(moved.path / "manage.py")), str(interpreter))
        assert installed.status().state is State.INSTALLED
        moved.switch("feature")
        assert git(moved, "checkout", "--quiet", "main", LC_ALL="C") == [LACKING]
    finally:
        moved.close()


def test_install_twice(left):
    """The second time changes nothing; other options do."""
    assert "Installed: " in left.manage("rewind_hook", "install").stdout
    before = hook(left).stat()
    assert f"Installed already: {hook(left)}" in left.manage("rewind_hook", "install").stdout
    after = hook(left).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert "Installed: " in left.manage("rewind_hook", "install", "--timeout", "5").stdout
    assert hook(left).read_text().count("<<< django-rewind") == 1


def test_uninstall(left):
    """What was made for the purpose goes; a second time there is nothing to do."""
    assert f"Uninstalled: {hook(left)}" in left.manage("rewind_hook", "uninstall").stdout
    assert not hook(left).exists()
    assert f"Not installed: {hook(left)}" in left.manage("rewind_hook", "uninstall").stdout
    assert git(left, "checkout", "--quiet", "main") == []


def test_from_elsewhere(left):
    """manage.py is found when the command is run from another folder, and when it is named."""
    left.manage("rewind_hook", "uninstall")
    result = left.run(
        "from django.core.management import call_command\ncall_command('rewind_hook', 'install')"
    )
    assert result.returncode == 0, str(result)
    assert git(left, "checkout", "--quiet", "main") == [LACKING]
    left.refused("rewind_hook", "install", "--manage-py", "gone.py", naming="gone.py")


def test_without_git(left):
    """There is nothing to install into."""
    (left.path / ".git").rename(left.path / "packages")
    left.refused("rewind_hook", "install", naming="work tree")


def test_another_database(left):
    """The hook looks into the one that was named."""
    left.add_database("other")
    left.manage("migrate", "--database", "other")
    left.switch("main")
    left.manage("rewind", "--noinput")
    left.refused("rewind_hook", "install", "--database", "nowhere", naming="nowhere")
    left.manage("rewind_hook", "install", "--database", "other")
    left.switch("feature")
    (line,) = git(left, "checkout", "--quiet", "main")
    assert line.startswith("django-rewind: 1 applied migration of the database 'other' has no file here")
    assert line.endswith("(shop.0002_price): 'manage.py rewind --database other' undoes it.")


def test_an_app_that_the_checkout_takes_away(left):
    """Bare rewinds leave it alone; it is named when it goes, and not each time after that."""
    left.write("apps.txt", "cart")
    left.app("cart")
    left.migration("cart.0001_initial", create("Line"))
    left.manage("migrate")
    left.commit()
    left.install(*[label for label in left.installed if label != "cart"])
    (line,) = git(left, "checkout", "--quiet", "main")
    assert line == (
        "django-rewind: 2 applied migrations have no file here (shop.0002_price, cart.0001_initial): "
        "'manage.py rewind' and 'manage.py rewind cart' undo them."
    )
    git(left, "checkout", "--quiet", "-b", "more")
    left.write("README", "")
    left.commit()
    assert git(left, "checkout", "--quiet", "main") == [LACKING]


def test_what_cannot_be_undone(left):
    """Says why, and where to read more."""
    left.migration("shop.0003_one_way", python(), after="0002_price")
    left.manage("migrate")
    left.commit()
    (line,) = git(left, "checkout", "--quiet", "main")
    assert "2 applied migrations have no file here (shop.0002_price, shop.0003_one_way): " in line
    assert "Cannot roll back shop.0003_one_way" in line
    assert line.endswith("See 'manage.py rewind --plan'.")


# --auto


def test_auto(left):
    """The database follows the branch, and one line says so."""
    left.manage("rewind_hook", "install", "--auto")

    assert git(left, "checkout", "--quiet", "main") == [
        "django-rewind: undone for this checkout: shop.0002_price."
    ]

    assert left.columns("shop_product") == {"id", "name"}
    assert left.applied("shop") == ["0001_initial"]
    assert "--auto" in left.manage("rewind_hook", "status").stdout


def test_auto_loses_nothing(left):
    """What holds something is left, and named; unless that was agreed when it was installed."""
    left.manage("rewind_hook", "install", "--auto")
    left.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 3)")
    before = left.snapshot()

    (line,) = git(left, "checkout", "--quiet", "main")

    assert line.startswith(LACKING)
    assert "would lose what is in the column 'price' of 'shop_product'" in line
    assert left.snapshot() == before
    left.manage("rewind_hook", "install", "--auto", "--allow-data-loss")
    left.switch("feature")
    (line,) = git(left, "checkout", "--quiet", "main")
    assert "undone" in line
    assert "This lost what was in the column 'price' of 'shop_product' (1 row; shop.0002_price)." in line
    assert left.columns("shop_product") == {"id", "name"}


def test_auto_is_for_development(left):
    """With DEBUG off it is not installed, and where it is, it does nothing but tell."""
    left.manage("rewind_hook", "install", "--auto")
    left.configure(DEBUG=False)
    before = left.snapshot()
    assert git(left, "checkout", "--quiet", "main") == [LACKING]
    assert left.snapshot() == before
    left.refused("rewind_hook", "install", "--auto", naming="DEBUG")
    left.refused("rewind_hook", "install", "--allow-data-loss", naming="--auto")


def test_auto_and_what_cannot_be_undone(left):
    """Nothing is done, and no checkout fails."""
    left.manage("rewind_hook", "install", "--auto")
    left.execute("UPDATE django_migrations_code SET source_code = 'pass' WHERE migration_name = '0002_price'")
    before = left.snapshot()
    (line,) = git(left, "checkout", "--quiet", "main")
    assert "shop.0002_price could not be undone" in line
    assert left.snapshot() == before
