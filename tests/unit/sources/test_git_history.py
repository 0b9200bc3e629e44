"""The source of a migration, and what it needs, as they were at a commit."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from django_rewind.git.repository import Repository
from django_rewind.sources import git_history
from django_rewind.sources.bundle.modules import Modules, Owner, SourceUnavailable
from django_rewind.sources.git_history import FoundSource, GitHistory, ModulesAtCommit, WantedSource
from tests.support.helpers import MIGRATION
from tests.support.workdir import WorkDir

pytestmark = pytest.mark.deep

NAME = "0002_price"
FILE = f"shop/migrations/{NAME}.py"
ALWAYS = 2_000_000_000


@pytest.fixture
def work(tmp_path: Path) -> WorkDir:
    """A work tree with an app that has one migration."""
    work = WorkDir(tmp_path / "work")
    work.commit(
        **{
            "shop/__init__.py": "",
            "shop/migrations/__init__.py": "",
            "shop/migrations/0001_initial.py": migration(after=None),
        }
    )
    return work


def migration(header: str = "", after: str | None = "0001_initial", app: str = "shop", body: str = "") -> str:
    attributes = f"    dependencies = {[(app, after)] if after else []!r}\n{body}"
    return MIGRATION.format(header=f"\n{header}\n" if header else "", attributes=attributes, operations="")


def remove(work: WorkDir, name: str = FILE) -> None:
    (work.path / name).unlink()
    work.commit()


def wanted(work: WorkDir, applied: float = ALWAYS, *, root: str = "", key=("shop", NAME)) -> WantedSource:
    file = work.path / root / key[0] / "migrations" / f"{key[1]}.py"
    return WantedSource(key, applied, file, f"{key[0]}.migrations.{key[1]}")


def find(
    work: WorkDir, one: WantedSource | None = None, taken: list[Path] | None = None, revision: str = ""
) -> FoundSource:
    past = GitHistory(Repository.around(work.path), taken or [], revision)
    one = one or wanted(work)
    past.look_for([one])
    return past.find(one)


def collected(found: FoundSource) -> dict[str, str]:
    """Return what goes with it, by name."""
    bundle = found.collector.collect(found.module, found.text)
    return {one.name: bundle.contents[one.digest].decode() for one in bundle.bundle.members}


# Which version


@pytest.mark.parametrize("minutes, number", [(0, 1), (1, 1), (1.5, 1), (2, 2), (2.5, 2), (9, 3)])
def test_the_last_one_before_it_was_applied(work, minutes, number):
    """Else the first one after it."""
    start = work.at
    for one in (1, 2, 3):
        work.commit(**{FILE: migration(f"NUMBER = {one}")})
    remove(work)
    found = find(work, wanted(work, start + 60 * minutes))
    assert f"NUMBER = {number}" in found.text
    assert found.contents == 3


def test_what_django_could_not_have_applied_is_left_out(work):
    """Such as marks of a conflict that somebody has committed, or an empty file."""
    work.commit(**{FILE: migration("NUMBER = 1")})
    work.commit(**{FILE: "<<<<<<< HEAD\n" + migration("NUMBER = 2")})
    work.commit(**{FILE: ""})
    remove(work)
    assert "NUMBER = 1" in find(work).text


@pytest.mark.parametrize(
    "content, reason",
    [
        ("", "it has no class Migration"),
        ("class Migration(:", "it cannot be parsed"),
        ("größe = 1\n".encode("latin-1"), "cannot be read"),
        (migration(body="    initial = bool(1)\n"), "its 'initial' are computed"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_commit(work, content, reason):
    """In one line."""
    commit = work.commit(**{FILE: content})
    remove(work)
    with pytest.raises(LookupError) as caught:
        find(work)
    assert str(caught.value).startswith(f"as it is in commit {commit[:10]} it cannot be used: ")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "content, text",
    [
        (migration("NAME = 'größe'").encode(), "NAME = 'größe'"),
        (b"# coding: latin-1\n" + migration("NAME = 'größe'").encode("latin-1"), "NAME = 'größe'"),
        (b"\xef\xbb\xbf" + migration().encode(), "from django.conf"),
        (migration().replace("\n", "\r\n").encode(), "import settings\r\n"),
    ],
)
def test_texts_are_read_as_python_reads_them(work, content, text):
    """In their encoding, with line ends as they were."""
    work.commit(**{FILE: content})
    remove(work)
    assert text in find(work).text


def test_content_that_this_clone_does_not_hold(work, tmp_path):
    """A partial clone whose origin cannot be reached has names without contents."""
    work.commit(**{FILE: migration()})
    remove(work)
    work.git("config", "uploadpack.allowFilter", "true")
    clone = tmp_path / "clone"
    work.git("clone", "--quiet", "--filter=blob:none", f"file://{work.path}", str(clone))
    work.path.rename(tmp_path / "gone")
    with pytest.raises(LookupError, match=rf"does not hold .*'git show \w+:{FILE}' fetches it"):
        find(WorkDir(clone, start=False))


# Which history


@pytest.fixture
def forged(work: WorkDir) -> WorkDir:
    """A work tree whose main had the file, and a branch `evil` that says to have changed it just in time."""
    work.commit(**{FILE: migration("NUMBER = 1")})
    work.branch("evil")
    at, work.at = work.at, ALWAYS - 120
    work.commit(**{FILE: migration("NUMBER = 666")})
    work.switch("main")
    work.at = at
    remove(work)
    return work


def test_dates_are_chosen_by_their_authors(forged):
    """What is in the history of the commit that is checked out comes first, whatever others say."""
    found = find(forged)
    assert "NUMBER = 1\n" in found.text
    assert found.version.is_reachable
    assert found.references == ["refs/heads/evil", "refs/heads/main"]
    (other,) = found.others
    assert "NUMBER = 666" in other.text
    assert not other.version.is_reachable
    assert other.references == ["refs/heads/evil"]
    assert other.version.author == "Test <test@example.com>"


def test_a_revision_that_is_named(forged):
    """It stands for the commit that is checked out."""
    found = find(forged, revision="evil")
    assert "NUMBER = 666" in found.text
    assert found.version.is_reachable
    with pytest.raises(LookupError, match=r"no commit in .* is called 'nowhere'"):
        find(forged, revision="nowhere")


def test_what_only_another_branch_has(work):
    """It is found, and known for what it is."""
    work.branch("evil")
    work.commit(**{FILE: migration()})
    work.switch("main")
    found = find(work)
    assert not found.version.is_reachable
    assert found.references == ["refs/heads/evil"]


def test_a_file_here_that_hides_one_that_lay_elsewhere(work):
    """The one that can be trusted comes first, wherever it lay."""
    work.commit(**{f"old/{FILE}": migration("NUMBER = 1"), "old/shop/__init__.py": ""})
    remove(work, f"old/{FILE}")
    work.branch("evil")
    work.commit(**{FILE: migration("NUMBER = 666")})
    work.switch("main")
    found = find(work)
    assert (found.version.is_reachable, found.version.path) == (True, f"old/{FILE}")


@pytest.mark.parametrize(
    "name",
    ["../../../../etc/passwd", "/etc/passwd", "0002\0x", "0002\nx", "..", "", "0002\n*", "-n1", "\udcff"],
)
def test_names_that_no_file_has(work, name):
    """A record may hold anything: it is not found, and others are."""
    work.commit(**{FILE: migration()})
    remove(work)
    past = GitHistory(Repository.around(work.path))
    both = [wanted(work), wanted(work, key=("shop", name))]
    past.look_for(both)
    assert past.find(both[0]).version.path == FILE
    with pytest.raises(LookupError, match="no commit in"):
        past.find(both[1])


def test_contents_without_end(work, monkeypatch):
    """A text that is too long is not read, and what all of them take is bounded; what can be trusted is read first."""
    work.commit(**{FILE: migration("NUMBER = 1")})
    remove(work)
    work.branch("evil")
    for number in range(10):
        work.commit(**{FILE: migration(f"NUMBER = {number}666" + "#" * 10_000)})
    work.commit(**{FILE: b"#" * 300_000})
    work.switch("main")
    read: list[int] = []
    kept = Repository.read
    monkeypatch.setattr(git_history, "_ROOM", 25_000)
    monkeypatch.setattr(
        Repository,
        "read",
        lambda self, blobs: read.extend(map(len, (got := kept(self, blobs)).values())) or got,
    )
    found = find(work)
    assert "NUMBER = 1\n" in found.text
    assert found.contents == 12
    assert sum(read) <= 25_000


def test_a_text_that_is_too_long(work):
    """It is named with its size."""
    work.commit(**{FILE: b"#" * 300_000})
    remove(work)
    with pytest.raises(LookupError, match="has 300,000 bytes, which is more than is read"):
        find(work)


def test_modules_and_files_that_are_too_large(work):
    """They are left out with the reason, and not read for that."""
    large = b"#" * (1024 * 1024 + 1)
    header = "from ..tones import TONE\nimport os\nTEXT = os.path.join(__file__, '0002_price.csv')"
    work.commit(
        **{FILE: migration(header), "shop/tones.py": large, f"shop/migrations/{NAME}.csv": large},
    )
    remove(work)
    found = find(work)
    missed = found.collector.collect(found.module, found.text).bundle.left_out
    assert "DJANGO_REWIND_SIZE_LIMIT" in missed["shop.tones"]
    assert "DJANGO_REWIND_SIZE_LIMIT" in missed[f"{NAME}.csv"]


def test_links_in_a_tree(work):
    """A module that was a link is none, and its target is not read."""
    work.commit(**{FILE: migration("from ..tones import TONE")})
    (work.path / "shop" / "tones.py").symlink_to("/etc/passwd")
    work.commit()
    remove(work)
    found = find(work)
    assert "root:" not in str(found.collector.collect(found.module, found.text).contents)
    assert "shop.tones" not in collected(found)


# Where


def test_not_there(work):
    """Where it was looked for is said."""
    with pytest.raises(LookupError, match=f"no commit in .*work has its file {FILE}$"):
        find(work)


def test_project_in_a_sub_folder(tmp_path):
    """Names of modules start at the folder of the project."""
    work = WorkDir(tmp_path)
    work.commit(
        **{
            "back end/shop/__init__.py": "",
            "back end/shop/tones.py": "TONE = 1\n",
            f"back end/{FILE}": migration("from shop.tones import TONE\nfrom ..tones import TONE"),
        }
    )
    remove(work, f"back end/{FILE}")
    found = find(work, wanted(work, root="back end"))
    assert found.module == f"shop.migrations.{NAME}"
    assert collected(found) == {"shop.tones": "TONE = 1\n"}


def test_migrations_modules_elsewhere(work):
    """Whatever folder the app keeps them in now."""
    work.commit(**{"moved/for_shop/__init__.py": "", f"moved/for_shop/{NAME}.py": migration()})
    remove(work, f"moved/for_shop/{NAME}.py")
    one = WantedSource(
        ("shop", NAME), ALWAYS, work.path / "moved" / "for_shop" / f"{NAME}.py", f"moved.for_shop.{NAME}"
    )
    assert find(work, one).module == f"moved.for_shop.{NAME}"


def test_renamed_folder(work):
    """It is the module that it was."""
    work.commit(**{FILE: migration("from ..tones import TONE"), "shop/tones.py": "TONE = 1\n"})
    remove(work)
    work.git("mv", "shop", "store")
    work.commit()
    file = work.path / "store" / "migrations" / f"{NAME}.py"
    found = find(work, WantedSource(("shop", NAME), ALWAYS, file, f"store.migrations.{NAME}"))
    assert (found.module, found.version.path) == (f"shop.migrations.{NAME}", FILE)
    assert collected(found) == {"shop.tones": "TONE = 1\n"}


def test_moved_project(work):
    """A project that was moved into a folder has its apps under the same names."""
    work.commit(**{FILE: migration()})
    remove(work)
    (work.path / "src").mkdir()
    work.git("mv", "shop", "src/shop")
    work.commit()
    assert find(work, wanted(work, root="src")).module == f"shop.migrations.{NAME}"


def test_app_within_packages(work):
    """As far up as there are packages."""
    path = f"src/site/apps/shop/migrations/{NAME}.py"
    work.commit(
        **{
            "src/site/__init__.py": "",
            "src/site/apps/__init__.py": "",
            "src/site/apps/shop/__init__.py": "",
            path: migration(),
        }
    )
    remove(work, path)
    assert find(work, WantedSource(("shop", NAME), ALWAYS)).module == f"site.apps.shop.migrations.{NAME}"


@pytest.mark.parametrize("app", ["cart", "shop"])
def test_file_of_that_name_of_another_app(work, app):
    """One whose folder is still somebody's, or that depends on others, is not taken for it."""
    work.commit(**{f"cart/migrations/{NAME}.py": migration(app=app), "cart/migrations/__init__.py": ""})
    remove(work, f"cart/migrations/{NAME}.py")
    with pytest.raises(LookupError, match="no commit in"):
        find(work, taken=[work.path / "cart" / "migrations"] if app == "shop" else [])


def test_first_migration_of_a_removed_app(work):
    """It depends on none of its own; its folder bears the label."""
    path = "cart/migrations/0001_initial.py"
    work.commit(**{path: migration(after=None)})
    remove(work, path)
    assert find(work, WantedSource(("cart", "0001_initial"), ALWAYS)).version.path == path


# What it needs


def test_needs_are_those_of_the_commit(work):
    """Not of today, nor of another commit."""
    work.commit(
        **{
            FILE: migration("from pathlib import Path\nfrom shop.tones import TONE\nHERE = Path(__file__)"),
            "shop/tones.py": "from .more import TONE\n",
            "shop/more.py": "TONE = 1\n",
            "shop/migrations/0002_price.sql": "SELECT 1;\r\n",
            "shop/migrations/sub/other.sql": "SELECT 2;\n",
        }
    )
    remove(work)
    work.commit(**{"shop/more.py": "TONE = 2\n", "shop/migrations/0002_price.sql": "SELECT 3;\n"})
    remove(work, "shop/tones.py")
    assert collected(find(work)) == {
        "shop.tones": "from .more import TONE\n",
        "shop.more": "TONE = 1\n",
        "0002_price.sql": "SELECT 1;\r\n",
        "sub/other.sql": "SELECT 2;\n",
    }


def test_pointer_to_a_large_file(work):
    """Git holds none of its content: it is left out with the reason."""
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    work.commit(**{FILE: migration("HERE = __file__"), "shop/migrations/0002_price.csv": pointer})
    remove(work)
    found = find(work)
    bundle = found.collector.collect(found.module, found.text)
    assert bundle.bundle.members == []
    assert "Git LFS" in bundle.missed["0002_price.csv"]


MODELS = """
from django.db import models
from core.base import Stamped

def path():
    return "x"

class Product(Stamped):
    pass
"""


def test_models_are_known_by_their_bases(work):
    """Also through other modules of the commit: only what hangs beside them is taken."""
    work.commit(
        **{
            FILE: migration("from shop.models import path"),
            "shop/models.py": MODELS,
            "core/__init__.py": "",
            "core/base.py": "from django.db import models\nclass Stamped(models.Model):\n    pass\n",
        }
    )
    remove(work)
    assert collected(find(work)) == {"shop.models": 'def path():\n    return "x"\n'}


def test_two_modules_that_import_each_other(work):
    """Looking for models ends."""
    work.commit(
        **{
            FILE: migration("from shop.a import One"),
            "shop/a.py": "import shop.b\nfrom shop.b import Two\nclass One(Two): pass\n",
            "shop/b.py": "from shop.a import One\nclass Two: pass\n",
        }
    )
    remove(work)
    assert set(collected(find(work))) == {"shop.a", "shop.b"}


# Modules at a commit


@pytest.fixture
def at(work: WorkDir) -> ModulesAtCommit:
    work.commit(
        **{
            "shop/tones.py": "TONE = 1\n",
            "shop/plain/inner.py": "INNER = 1\n",
            "plain/inner.py": "INNER = 2\n",
            "lib/other.py": "OTHER = 1\n",
            "pytest/conf.ini": "",
            "data.txt": "",
        }
    )
    return ModulesAtCommit(Repository.around(work.path), work.head, ["", "lib"], Modules())


@pytest.mark.parametrize(
    "name, exists, is_package",
    [
        ("shop", True, True),
        ("shop.tones", True, False),
        ("shop.plain", True, True),
        ("shop.plain.inner", True, False),
        ("shop.nothing", False, False),
        ("plain", True, True),
        ("plain.inner", True, False),
        ("other", True, False),
        ("lib.other", True, False),
        ("shop.tones.deeper", False, False),
        ("nothing", False, False),
        ("data", False, False),
        ("json", True, True),
        ("json.decoder", True, False),
        ("django.db", True, True),
    ],
)
def test_modules(at, name, exists, is_package):
    """Those of the commit, namespaces included, and what is installed."""
    assert at.exists(name) is exists
    assert at.is_package(name) is is_package


def test_owners(at):
    """What is in the commit is the project's; a folder without a file hides nothing that is installed."""
    names = ["shop.tones", "plain", "nothing", "json", "django", "pytest"]
    assert [at.owner(name) for name in names] == [
        *[Owner.PROJECT] * 3,
        Owner.PYTHON,
        *[Owner.INSTALLED] * 2,
    ]


def test_texts(at):
    """Of the commit, or as they are here; a folder has none."""
    assert at.text("plain.inner") == "INNER = 2\n"
    assert at.text("plain") == ""
    assert at.text("json").startswith('r"""JSON')
    with pytest.raises(SourceUnavailable, match=r"there is no module shop\.nothing"):
        at.text("shop.nothing")


def test_what_is_here_and_was_not_in_the_commit(work, at, monkeypatch):
    """It does not exist at the commit; what lies outside of the work tree does."""
    monkeypatch.syspath_prepend(str(work.path))
    work.write("of_today.py", "")
    outside = work.path.parent / "outside"
    outside.mkdir()
    (outside / "of_elsewhere.py").write_text("HERE = 1\n")
    monkeypatch.syspath_prepend(str(outside))
    assert not at.exists("of_today")
    assert at.text("of_elsewhere") == "HERE = 1\n"
    assert at.owner("of_elsewhere") is Owner.PROJECT
    assert not {"of_today", "of_elsewhere", "shop", "plain"} & set(sys.modules)


def test_files(work, at):
    """Of packages in the commit and of those outside."""
    assert at.folder("shop") == work.path / "shop"
    assert at.files_below(work.path / "pytest") == [work.path / "pytest" / "conf.ini"]
    assert at.content(work.path / "data.txt") == b""
    assert at.size(work.path / "lib" / "other.py") == 10
    elsewhere = work.path.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.txt").write_text("a")
    assert at.files_below(elsewhere) == [elsewhere / "a.txt"]
    assert (at.size(elsewhere / "a.txt"), at.content(elsewhere / "a.txt")) == (1, b"a")


@pytest.mark.parametrize(
    "names", [["0001_a", "0002_b", "0003_c", "odd", "od*"], ["0001_a", "od*"], ["[a]\\?"]]
)
def test_many_that_lay_elsewhere(work, names):
    """Each is found by its very name, however many there are."""
    files = [f"old/shop/migrations/{name}.py" for name in [*names, "0009_other", "odds"]]
    work.commit(**{file: migration() for file in files})
    for file in files:
        (work.path / file).unlink()
    work.commit()
    past = GitHistory(Repository.around(work.path))
    looked_for = [wanted(work, key=("shop", name)) for name in names]
    past.look_for(looked_for)
    assert [past.find(one).version.path for one in looked_for] == files[: len(names)]
