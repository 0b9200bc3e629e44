"""What becomes of stored text when it is written back to files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from django.core.management.base import CommandError
from django.db import connection
from django.test import override_settings

from django_rewind.actions.places import InFolder, InProject, NoPlace, Place
from django_rewind.actions.restore import Action, Restore
from django_rewind.models import MigrationCode
from django_rewind.sources.bundle.manifest import Bundle, BundleMember
from django_rewind.sources.bundle.modules import encode
from django_rewind.sources.description import describe
from django_rewind.sources.signing import digest_of
from django_rewind.sources.stored import NewSource
from django_rewind.storage.store import Store
from django_rewind.utils.files import write_all
from tests.support.fixtures import in_memory, migrate, stored
from tests.support.helpers import add, create

# Files and git are the same beside every database.
pytestmark = [
    pytest.mark.deep,
    pytest.mark.once,
    pytest.mark.django_db(transaction=True, databases=["default", "other"]),
]


@pytest.fixture
def shop(app):
    """A chain of two, applied, of which the second is missing."""
    app.migration("0001_initial", create("Product"))
    app.text = app.migration("0002_a", add("product", "a", "TextField(null=True)"), after="0001_initial")
    migrate("shop")
    app.delete("0002_a")
    return app


def keep(text: str, *members: tuple[str, str, bytes], name: str = "0009_kept", module: str = "") -> None:
    """Put a text into the store, with what goes with it as (kind, name, content)."""
    bundle = Bundle(
        [BundleMember(kind, one, digest_of(content), len(content)) for kind, one, content in members]
    )
    Store(connection).put(
        [
            NewSource(
                key=("shop", name),
                module=module or f"shop.migrations.{name}",
                text=text,
                metadata=describe(in_memory("shop.0009_kept"), bundle),
                origin="captured",
                contents={digest_of(content): content for _, _, content in members},
            )
        ]
    )


def restore(*args: str, folder: Path | None = None, force: bool = False) -> dict[str, Action]:
    """Restore, and return what became of each file, by its path below the app or the folder."""
    work = Restore(connection, folder, force=force)
    found = work.look(work.wanted(*args))
    work.write(found)
    return {"/".join(file.place.parts): file.action for file in found.files}


def refused(*args: str, folder: Path | None = None, force: bool = False) -> str:
    with pytest.raises(CommandError) as caught:
        restore(*args, folder=folder, force=force)
    return str(caught.value)


def test_what_is_missing_comes_back(shop):
    """To the letter, and it is a migration on disk again."""
    assert restore() == {"0002_a.py": Action.CREATE}
    assert (shop.path / "0002_a.py").read_text() == shop.text
    shop.reload()
    assert restore() == {}


def test_what_is_there_already_is_left(shop):
    """A second time there is nothing to write; it is not even touched."""
    restore()
    before = (shop.path / "0002_a.py").stat()
    assert restore("shop", "0002") == {"0002_a.py": Action.LEAVE}
    after = (shop.path / "0002_a.py").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_differs_is_overwritten_only_by_force(shop):
    """An edited file is left as it is without it; with it, it is replaced and keeps its mode."""
    edited = shop.migration("0002_a", add("product", "b", "TextField(null=True)"), after="0001_initial")
    path = shop.path / "0002_a.py"
    path.chmod(0o640)

    message = refused("shop", "0002")

    assert "Cannot restore shop.0002_a" in message
    assert "differs" in message
    assert "--force" in message
    assert path.read_text() == edited
    assert restore("shop", "0002", force=True) == {"0002_a.py": Action.OVERWRITE}
    assert path.read_text() == shop.text
    assert path.stat().st_mode & 0o777 == 0o640


def test_new_files_have_the_mode_that_the_umask_gives(shop):
    """Not that of a temporary file."""
    other = shop.path / "other.txt"
    other.touch()
    restore()
    assert (shop.path / "0002_a.py").stat().st_mode == other.stat().st_mode


def test_one_refusal_keeps_all_from_being_written(shop, tmp_path):
    """All is looked at first, and nothing is left behind beside it either."""
    shop.delete("0001_initial")
    MigrationCode.objects.filter(app_label="shop", migration_name="0002_a").update(source_code="pass")

    message = refused(folder=tmp_path / "out")

    assert "Cannot restore shop.0002_a: its stored source was changed after it was signed." in message
    assert "0001_initial" not in message
    assert not (tmp_path / "out").exists()


def test_a_file_system_that_refuses_leaves_nothing_behind(tmp_path):
    """What was written before the failure is taken back, and what was replaced is as it was."""
    (tmp_path / "a.py").write_bytes(b"old")
    (tmp_path / "file").touch()
    contents = {tmp_path / "a.py": b"new", tmp_path / "deep" / "b.py": b"", tmp_path / "file" / "c.py": b""}
    with pytest.raises(OSError, match="file"):
        write_all(contents)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.py", "file"]
    assert (tmp_path / "a.py").read_bytes() == b"old"


def test_a_rename_that_fails_is_undone(tmp_path, monkeypatch):
    """Also when others were put in their places already."""
    (tmp_path / "a.py").write_bytes(b"old")
    real = Path.replace

    def fail(self, target):
        if Path(target).name == "c.py":
            raise OSError("no more")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="no more"):
        write_all({tmp_path / name: b"new" for name in ("a.py", "b.py", "c.py")})
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a.py", b"old")]


# Which ones


def test_prefixes_find_the_missing_ones_first(shop):
    """A file with the same number does not stand in the way; two missing ones do."""
    shop.migration("0002_b", after="0001_initial")
    shop.migration("0002_c", after="0002_b")
    migrate("shop")
    assert restore("shop", "0002") == {"0002_a.py": Action.CREATE}
    shop.delete("0002_a", "0002_b", "0002_c")
    assert "shop.0002_a, shop.0002_b, shop.0002_c" in refused("shop", "0002")
    assert restore("shop", "0002_b") == {"0002_b.py": Action.CREATE}


def test_what_is_not_applied_comes_back_by_name(shop):
    """It is not missing, and still it is stored."""
    migrate("shop", "0001")
    assert restore("shop") == {}
    assert restore("shop", "0002") == {"0002_a.py": Action.CREATE}


@pytest.mark.parametrize(
    "asked, words",
    [
        (("shop", "0003"), "No migration of the app 'shop' that matches '0003' is stored."),
        (("cart",), "No installed app with label 'cart', and none of its migrations is stored."),
    ],
)
def test_what_nobody_knows(shop, asked, words):
    """Is said by name."""
    assert words in refused(*asked)


def test_what_was_never_stored(shop):
    """Is missing, and cannot be restored."""
    MigrationCode.objects.filter(app_label="shop", migration_name="0002_a").delete()
    for asked in ((), ("shop",), ("shop", "0002")):
        assert "Cannot restore shop.0002_a: its source is not stored" in refused(*asked)


def test_nothing_is_stored_at_all(shop):
    """Where django-rewind was never migrated."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_migrations_code RENAME TO put_away")
    try:
        assert "Nothing is stored in the database 'default' yet" in refused()
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE put_away RENAME TO django_migrations_code")


def test_what_does_not_verify(shop):
    """Is refused by name, and a foreign key is told from a forgery."""
    with override_settings(SECRET_KEY="another"):
        message = refused("shop")
        assert "Cannot restore shop.0002_a: its stored source was signed with another key." in message
        assert "DJANGO_REWIND_SIGNING_KEYS" in message
    MigrationCode.objects.filter(app_label="shop", migration_name="0002_a").update(metadata="{}")
    assert "was changed after it was signed" in refused("shop")


# Text


@pytest.mark.parametrize(
    "text, data",
    [
        ("# café\r\npass\n", "# café\r\npass\n".encode()),
        ("# coding: latin-1\n# café\n", b"# coding: latin-1\n# caf\xe9\n"),
        (
            "#!/bin/python\n# -*- coding: cp1252 -*-\n# 5 €\n",
            b"#!/bin/python\n# -*- coding: cp1252 -*-\n# 5 \x80\n",
        ),
        ("pass", b"pass"),
        ("", b""),
    ],
)
def test_text_is_encoded_as_it_says(shop, text, data):
    """So that Python reads the same text from the file; line ends stay as they are."""
    keep(text)
    restore("shop", "0009_kept")
    assert (shop.path / "0009_kept.py").read_bytes() == data


@pytest.mark.parametrize(
    "text",
    ["# coding: latin-1\n# 5 €\n", "# coding: nonsense\n", "# coding: ascii\n# é\n", "# coding: utf-16\n#\n"],
)
def test_text_that_cannot_be_encoded_as_it_says(shop, text):
    """Is refused by name."""
    keep(text)
    message = refused("shop", "0009_kept")
    assert "shop.0009_kept" in message
    assert "cannot be encoded as it says" in message
    assert not (shop.path / "0009_kept.py").exists()


def test_lone_surrogates():
    """They are in no source file."""
    with pytest.raises(ValueError, match="cannot be encoded"):
        encode("x = '\ud800'\n")


def test_a_byte_order_mark_makes_no_difference(shop):
    """It is no part of the text that was stored."""
    text = "from django.db import migrations\n\nclass Migration(migrations.Migration):\n    pass\n"
    keep(text)
    shop.write("0009_kept", b"\xef\xbb\xbf" + text.encode())
    assert restore("shop", "0009_kept") == {"0009_kept.py": Action.LEAVE}


# Names


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "..",
        "a.b",
        "a/b",
        "a\\b",
        "/etc/evil",
        "__init__",
        "_hidden",
        "~tilde",
        "new\nline",
        "é" * 130,
    ],
)
def test_names_lead_nowhere_else(shop, tmp_path, name):
    """A migration has the name of a module, and nothing that a path is made of."""
    keep("pass\n", name=name)
    before = sorted(tmp_path.rglob("*"))
    for folder in (None, tmp_path / "out"):
        assert "Cannot restore" in refused("shop", name, folder=folder)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "member",
    [
        ("file", "../evil.sql"),
        ("file", "/evil.sql"),
        ("file", "sql/../../evil.sql"),
        ("file", "sql//evil.sql"),
        ("file", "."),
        ("file", "a\\..\\evil.sql"),
        ("file", "link/evil.sql"),
        ("module", "shop..evil"),
        ("module", "shop/evil"),
        ("module", ".evil"),
        ("module", "shop.migrations.link.evil"),
        ("models", "shop/../models"),
        ("other", "shop.evil"),
    ],
)
def test_names_of_what_is_carried_lead_nowhere_else(shop, tmp_path, member):
    """Nor does a link that lies in the package."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    out = tmp_path / "out" / "shop" / "migrations"
    out.mkdir(parents=True)
    for folder in (shop.path, out):
        (folder / "link").symlink_to(elsewhere)
    keep("pass\n", (*member, b"evil\n"))
    before = sorted(tmp_path.rglob("*"))
    assert "Cannot restore shop.0009_kept" in refused("shop", "0009", folder=tmp_path / "out")
    if member[0] != "models" and member[1] != "shop.migrations.link.evil":
        assert "Cannot restore shop.0009_kept" in refused("shop", "0009")
    assert sorted(tmp_path.rglob("*")) == before


def test_another_module_leads_nowhere_else(shop, tmp_path):
    """Below a folder, the place comes from the module that the migration had."""
    for module in ("shop/../..evil.0009_kept", "...0009_kept", "/tmp.0009_kept"):
        keep("pass\n", module=module)
        assert "is not the name of a module" in refused("shop", "0009", folder=tmp_path / "out")


def test_links_are_not_replaced(shop, tmp_path):
    """Not even by force: what they stand for is somebody else's."""
    other = tmp_path / "other.py"
    other.write_text("mine")
    keep("pass\n")
    path = tmp_path / "out" / "shop" / "migrations" / "0009_kept.py"
    path.parent.mkdir(parents=True)
    path.symlink_to(other)
    assert "symbolic link" in refused("shop", "0009", folder=tmp_path / "out", force=True)
    other.write_text("pass\n")
    assert restore("shop", "0009", folder=tmp_path / "out") == {"shop/migrations/0009_kept.py": Action.LEAVE}
    other.unlink()
    assert "symbolic link" in refused("shop", "0009", folder=tmp_path / "out", force=True)


@pytest.mark.parametrize(
    "there, words",
    [
        ("shop/migrations/0009_kept/__init__.py", "would be the same module"),
        ("shop/migrations/0009_kept.py/x", "is a folder"),
        ("shop/migrations", "is not a folder"),
    ],
)
def test_what_stands_in_the_way(shop, tmp_path, there, words):
    """Is named, and force does not help."""
    keep("pass\n")
    path = tmp_path / "out" / there
    path.parent.mkdir(parents=True)
    path.touch()
    assert words in refused("shop", "0009", folder=tmp_path / "out", force=True)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_folder_that_cannot_be_written_to(shop):
    """Is known before anything is written."""
    shop.path.chmod(0o500)
    try:
        assert "cannot be written to" in refused("shop")
    finally:
        shop.path.chmod(0o700)


# What goes with it


def test_what_it_carries_along_comes_back(shop, tmp_path):
    """Modules where they were, files beside the migrations, and excerpts nowhere in the project."""
    keep(
        "pass\n",
        ("module", "shop.tones", b"TONE = 1\n"),
        ("module", "tools.deep.helper", "# coding: latin-1\nNAME = 'é'\n".encode()),
        ("models", "shop.models", b"LIMIT = 3\n"),
        ("file", "sql/a b.sql", b"\xff\x00\r\n"),
    )
    (shop.path.parent / "models.py").write_text("# mine\n")

    assert set(restore("shop", "0009")) == {
        "0009_kept.py",
        "tones.py",
        "tools/deep/helper.py",
        "sql/a b.sql",
    }

    assert (shop.path.parent / "tones.py").read_text() == "TONE = 1\n"
    assert (tmp_path / "tools/deep/helper.py").read_bytes() == b"# coding: latin-1\nNAME = '\xe9'\n"
    assert (shop.path / "sql" / "a b.sql").read_bytes() == b"\xff\x00\r\n"
    assert (shop.path.parent / "models.py").read_text() == "# mine\n"


def test_excerpts_lie_beside_the_models_of_a_folder(shop, tmp_path):
    """Never in their place, though the folder be that of the project."""
    keep("pass\n", ("models", "shop.models", b"LIMIT = 3\n"))
    (shop.path.parent / "models.py").write_text("# mine\n")
    done = restore("shop", "0009", folder=tmp_path, force=True)
    assert "shop/models.excerpt-for-shop.0009_kept.py" in done
    assert (shop.path.parent / "models.excerpt-for-shop.0009_kept.py").read_text() == "LIMIT = 3\n"
    assert (shop.path.parent / "models.py").read_text() == "# mine\n"


def test_of_two_versions_it_is_the_last(shop, tmp_path):
    """Of a helper that two migrations ran with; which one it is, and whose it is not, is said."""
    keep("pass\n", ("module", "shop.tones", b"TONE = 1\n"), name="0008_first")
    keep("pass\n", ("module", "shop.tones", b"TONE = 2\n"))
    work = Restore(connection, tmp_path / "out")
    found = work.look([("shop", "0008_first"), ("shop", "0009_kept")])
    work.write(found)
    assert (tmp_path / "out/shop/tones.py").read_text() == "TONE = 2\n"
    (note,) = found.notes
    assert note.endswith("is that of shop.0009_kept; shop.0008_first ran with another.")


def test_a_migration_is_itself_however_others_ran_with_it(shop, tmp_path):
    """One that another imports is carried along, and may have been edited in between."""
    for name, other in (("0008_a", "0009_b"), ("0009_b", "0008_a")):
        keep("mine = True\n", ("module", f"shop.migrations.{other}", b"mine = False\n"), name=name)
    work = Restore(connection, tmp_path / "out")
    found = work.look([("shop", "0008_a"), ("shop", "0009_b")])
    work.write(found)
    for name in ("0008_a", "0009_b"):
        assert (tmp_path / f"out/shop/migrations/{name}.py").read_text() == "mine = True\n"
    assert len(found.notes) == 2


def test_what_it_carries_has_changed_or_gone(shop):
    """In the table: it is no longer what was signed."""
    from django_rewind.models import StoredContent

    keep("pass\n", ("module", "shop.tones", b"TONE = 1\n"))
    row = StoredContent.objects.filter(digest=digest_of(b"TONE = 1\n"))
    row.update(content=b"TONE = 2\n")
    assert "shop.tones, which it carries along, was changed after it was signed" in refused("shop", "0009")
    row.delete()
    assert "shop.tones, which it carries along, has gone from the database" in refused("shop", "0009")
    assert not (shop.path / "0009_kept.py").exists()


def test_a_package_without_a_file_stays_one(shop, tmp_path):
    """A namespace package was stored as an empty text; where its folder is, nothing is written."""
    member = BundleMember("module", "tools", digest_of(b""), 0, is_package=True)
    (tmp_path / "tools").mkdir()
    bundle = Bundle([member])
    metadata = describe(in_memory("shop.0009_kept"), bundle)
    contents = {member.digest: b""}
    entry = NewSource(
        ("shop", "0009_kept"), "shop.migrations.0009_kept", "pass\n", metadata, "captured", contents
    )
    Store(connection).put([entry])
    assert restore("shop", "0009") == {"0009_kept.py": Action.CREATE, "__init__.py": Action.LEAVE}
    assert not (tmp_path / "tools/__init__.py").exists()


# Places


def place_of(name: str = "0002_a", app: str = "shop") -> list[Place]:
    return InProject().migration(stored(in_memory(f"{app}.{name}")))


def test_the_package_of_migrations_is_gone(shop, tmp_path):
    """git leaves no empty folder behind: the package is made again."""
    for path in shop.path.iterdir():
        path.unlink()
    shop.path.rmdir()
    shop.reload()
    restore("shop")
    assert (shop.path / "__init__.py").read_bytes() == b""
    assert (shop.path / "0002_a.py").exists()


def test_the_package_of_migrations_is_no_package(shop):
    """Django would pass over a folder in which nothing but bytecode is left."""
    (shop.path / "__init__.py").unlink()
    shop.reload()
    assert [place.path.name for place in place_of()] == ["0002_a.py", "__init__.py"]


def test_other_modules(shop, tmp_path):
    """MIGRATION_MODULES says where to write, also what is not there yet."""
    with override_settings(MIGRATION_MODULES={"shop": "kept.of.shop"}):
        assert place_of()[0].path == tmp_path / "kept" / "of" / "shop" / "0002_a.py"
    with override_settings(MIGRATION_MODULES={"shop": None}), pytest.raises(NoPlace, match="disables"):
        place_of()


def test_what_is_installed_is_left_alone(shop):
    """Neither Django's migrations nor those of a package from elsewhere are written to."""
    with override_settings(INSTALLED_APPS=["django_rewind", "django.contrib.contenttypes"]):
        with pytest.raises(NoPlace, match="the package django is installed"):
            place_of(app="contenttypes")
        assert InFolder(Path("/out")).migration(stored(in_memory("contenttypes.0001_initial")))


def test_a_module_that_is_installed_by_now_is_left_out(shop):
    """It is used as it is installed; that is said."""
    keep("pass\n", ("module", "pytest", b"TONE = 1\n"))
    work = Restore(connection)
    found = work.look(work.wanted("shop", "0009"))
    assert [file.path.name for file in found.files] == ["0009_kept.py"]
    assert found.notes == ["pytest is not written: the package pytest is installed here."]
