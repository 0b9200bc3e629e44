"""Nothing gets a signature or a binding that no file, read in this run, and no person vouched for."""

from __future__ import annotations

from hashlib import sha256
from textwrap import dedent

import pytest

from tests.scenarios.trust.test_tampering import note
from tests.scenarios.trust.test_trust import MARK, PRICE, change, executed
from tests.support.helpers import Project, add, python

pytestmark = [pytest.mark.deep, pytest.mark.once]

NAME = "0002_price"
COST = add("product", "cost", "IntegerField(default=7)")


def stored(shop: Project, *columns: str, name: str = NAME) -> tuple[object, ...]:
    sql = f"SELECT {', '.join(columns)} FROM django_migrations_code WHERE migration_name = %s"
    ((*values,),) = shop.rows(sql, name)
    return tuple(values)


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


# Migrations of django-rewind


@pytest.mark.parametrize("target", ["0002", "0005"])
@pytest.mark.parametrize("text", ["other", "the same"])
def test_our_migrations_sign_nothing(traced, target, text):
    """Whoever has them applied again gets no signature for what stands in the table."""
    traced.manage("migrate", "django_rewind", target)
    if text == "other":
        change(
            traced,
            source_code=f"from django.db import migrations\n{MARK}class Migration(migrations.Migration): pass\n",
        )

    said = traced.manage("migrate").stderr

    assert "verify_migrations --sign" in said
    assert stored(traced, "signature") == ("",)
    refused = traced.refused(
        "migrate", "shop", "0001", naming=(f"shop.{NAME}", "verify_migrations --sign shop")
    )
    assert "not signed" in refused.stderr
    traced.refused("rewind", "shop", "0001", "--noinput", naming=f"shop.{NAME}")
    traced.manage("migrate")
    assert stored(traced, "signature") == ("",)
    assert not executed(traced)


def test_what_has_its_file_is_signed_again(traced):
    """It is read from the file; nobody has to look at it."""
    traced.switch("feature")
    traced.manage("migrate", "django_rewind", "0002")
    traced.manage("migrate")
    traced.switch("main")
    traced.delete("executed")

    traced.manage("migrate", "shop", "0001")

    assert traced.columns("shop_product") == {"id", "name"}


def test_a_person_has_the_rest_signed(traced):
    """That is the way out which the refusal names."""
    traced.manage("migrate", "django_rewind", "0002")
    traced.manage("migrate")
    shown = traced.manage("verify_migrations", "--sign", "shop", NAME, answer="y").stdout
    assert "open('executed', 'a')" in shown

    traced.manage("migrate", "shop", "0001")

    assert traced.columns("shop_product") == {"id", "name"}


# Filling in


@pytest.mark.parametrize("awaiting", ["unsigned", "not described", "both"])
def test_filling_in_stores_the_text_of_the_file(shop, awaiting):
    """Docstrings do not count when programs are compared: the one of the row must not get a signature."""
    sql = "migrations.RunSQL('SELECT 1', __doc__)"
    file = shop.migration(f"shop.{NAME}", sql, after="0001_initial")
    file.write_text('"""SELECT 2"""\n' + file.read_text())
    genuine = file.read_text()
    shop.manage("migrate")
    forged = genuine.replace("SELECT 2", "DROP TABLE shop_product")
    change(shop, source_code=forged, digest=digest(forged))
    if awaiting != "unsigned":
        (metadata,) = stored(shop, "metadata")
        version = str(metadata).partition('"django": "')[2].partition('"')[0]
        undescribed = str(metadata).replace(f'"django": "{version}"', '"django": ""')
        change(shop, provenance="inherited", metadata=undescribed)
    if awaiting != "not described":
        change(shop, signature="", key_fingerprint="", proof="")

    shop.manage("migrate")

    assert stored(shop, "source_code", "digest") == (genuine, digest(genuine))
    assert stored(shop, "signature") != ("",)
    file.unlink()
    shop.manage("migrate", "shop", "0001")
    assert "shop_product" in shop.tables()
    assert shop.applied("shop") == ["0001_initial"]


def test_filling_in_takes_nothing_else_of_the_row(shop):
    """Neither what it says of itself, nor its module, nor where it came from."""
    shop.migration(f"shop.{NAME}", PRICE, after="0001_initial")
    shop.manage("migrate")
    columns = ("module", "metadata", "digest", "source_code")
    genuine = stored(shop, *columns)
    (metadata,) = stored(shop, "metadata")
    forged = str(metadata).replace('"effects": [', '"effects": [], "was": [').partition(', "evaluated"')[0]
    change(shop, module="os", metadata=forged, provenance="git", signature="", proof="")

    shop.manage("migrate")

    assert stored(shop, *columns) == genuine
    assert stored(shop, "provenance") == ("backfilled",)


# Between capture and record


SWAP = """
def swap(apps, schema_editor):
    from django.db import connection
    with connection.cursor() as cursor:
        cursor.execute({sql!r}, {values!r})
"""


def swapping(shop: Project, **values: object) -> None:
    """Write 0002, which changes the row of 0003 as another process would in the meantime, and 0003."""
    columns = ", ".join(f"{column} = %s" for column in values)
    sql = f"UPDATE django_migrations_code SET {columns} WHERE migration_name = '0003_stock'"
    header = SWAP.format(sql=sql, values=[*values.values()])
    shop.migration(
        f"shop.{NAME}", python("swap", "migrations.RunPython.noop"), after="0001_initial", header=header
    )
    shop.migration("shop.0003_stock", add("product", "stock", "IntegerField(default=3)"), after=NAME)


def left_unbound(shop: Project, forged: str) -> None:
    """It is named; what was put there has no binding, and never runs."""
    result = shop.manage("migrate")

    assert "shop.0003_stock" in result.stderr
    assert "not bound" in result.stderr
    assert shop.applied("shop")[-1] == "0003_stock"
    (file,) = (shop.path / "shop/migrations").glob("0003_stock.py")
    assert stored(shop, "source_code", name="0003_stock") == (file.read_text(),)
    assert shop.stored()["shop.0003_stock"] != forged
    file.unlink()
    shop.manage("migrate", "shop", "0002")
    assert shop.columns("shop_product") == {"id", "name"}
    assert not executed(shop)


def test_text_swapped_while_migrate_runs(shop):
    """A text that never ran gets no binding."""
    forged = f"import os\n{MARK}"
    swapping(shop, source_code=forged, digest=digest(forged), signature="0" * 64)

    left_unbound(shop, forged)


def test_earlier_revision_put_back_while_migrate_runs(shop):
    """It was signed here, and it is not what ran: it gets no binding."""
    shop.migration(f"shop.{NAME}", after="0001_initial")
    stock = add("product", "stock", "IntegerField(default=3)")
    shop.migration("shop.0003_stock", stock, after=NAME, header=MARK)
    shop.manage("migrate")
    columns = [
        "source_code",
        "module",
        "metadata",
        "provenance",
        "digest",
        "signature",
        "key_fingerprint",
        "serial",
    ]
    earlier = dict(zip(columns, stored(shop, *columns, name="0003_stock")))
    shop.manage("migrate", "shop", "0001")
    swapping(shop, **earlier)
    shop.delete("executed")

    left_unbound(shop, str(earlier["source_code"]))


def test_row_gone_while_migrate_runs(shop):
    """It is said, and stored from the file again."""
    swapping(shop, digest="")
    text = (shop.path / f"shop/migrations/{NAME}.py").read_text()
    gone = text.replace("UPDATE django_migrations_code SET digest = %s", "DELETE FROM django_migrations_code")
    shop.write(f"shop/migrations/{NAME}.py", dedent(gone).replace("['']", "[]"))

    left_unbound(shop, "")


# What was known as applied, and has lost its row or its binding


@pytest.fixture
def edited(shop):
    """0002 is applied, and its file was edited since: what ran added a price, the file now a cost."""
    shop.migration(f"shop.{NAME}", PRICE, after="0001_initial")
    shop.manage("migrate")
    shop.migration(f"shop.{NAME}", COST, after="0001_initial")
    return shop


def lose(shop: Project, how: str) -> None:
    file = shop.read(f"shop/migrations/{NAME}.py")
    if how == "row deleted":
        shop.execute("DELETE FROM django_migrations_code WHERE migration_name = %s", NAME)
    elif how == "record changed":
        shop.execute("UPDATE django_migrations SET id = 7000 WHERE name = %s", NAME)
    else:
        columns = {
            "binding taken away": {"record_id": None, "proof": ""},
            "signature taken away": {"signature": "", "proof": ""},
            "made to be the file": {"source_code": file, "digest": digest(file)},
            "made to be the file, unsigned": {"source_code": file, "digest": digest(file), "signature": ""},
            "made to be the file, unbound": {"source_code": file, "digest": digest(file), "record_id": None},
        }[how]
        change(shop, **columns)


LOSSES = [
    "row deleted",
    "record changed",
    "binding taken away",
    "signature taken away",
    "made to be the file",
    "made to be the file, unsigned",
    "made to be the file, unbound",
]


@pytest.mark.parametrize("how", LOSSES)
def test_the_file_does_not_take_the_place_of_what_was_applied(edited, how):
    """Nobody but a person says that an edited file counts: everything that needs to know asks."""
    lose(edited, how)
    accept = f"verify_migrations --accept shop {NAME}"
    before = edited.rows("SELECT source_code, signature, record_id FROM django_migrations_code ORDER BY id")

    said = edited.manage("migrate").stderr
    edited.manage("migrate", "shop")
    if how != "made to be the file":
        assert accept in said
    assert (
        edited.rows("SELECT source_code, signature, record_id FROM django_migrations_code ORDER BY id")
        == before
    )
    # Where it has lost nothing but its signature, what was applied is there to be looked at.
    way_out = f"verify_migrations --sign shop {NAME}" if how == "signature taken away" else accept
    for command in (["migrate", "shop", "0001"], ["rewind", "shop", "0001", "--noinput"]):
        edited.refused(*command, naming=(f"shop.{NAME}", way_out))
    report = edited.attempt("verify_migrations")
    assert report.returncode == 1
    assert accept in report.output
    found = edited.attempt("backfill_migration_code")
    assert accept in found.output
    assert edited.columns("shop_product") == {"id", "name", "price"}

    edited.manage("verify_migrations", "--accept", "shop", NAME)

    assert stored(edited, "source_code", "provenance")[1] == "accepted"
    assert f"shop.{NAME}" not in edited.manage("migrate").stderr
    edited.manage("verify_migrations")
    edited.execute("ALTER TABLE shop_product RENAME COLUMN price TO cost")
    edited.manage("migrate", "shop", "0001")
    assert edited.columns("shop_product") == {"id", "name"}


@pytest.mark.parametrize("event", ["applied", "accepted", "unapplied"])
def test_an_unsigned_entry_does_not_unsay_a_signed_one(edited, event):
    """Written into the audit log by somebody else, it can at most have a person asked."""
    lose(edited, "row deleted")
    (said,) = edited.rows(
        "SELECT MAX(id) FROM django_migrations_code_ledger WHERE migration_name = %s AND event = 'applied'",
        NAME,
    )[0]
    note(edited, None)
    text = edited.read(f"shop/migrations/{NAME}.py")
    edited.execute(
        "UPDATE django_migrations_code_ledger SET event = %s, digest = %s WHERE id > %s",
        event,
        digest(text),
        said,
    )

    assert f"--accept shop {NAME}" in edited.manage("migrate").stderr
    edited.refused("migrate", "shop", "0001", naming=f"--accept shop {NAME}")


@pytest.mark.parametrize("how", ["record changed", "binding taken away"])
def test_what_goes_with_the_file_is_another_one(shop, how):
    """The file is what was applied, and a module that it imports is not any more."""
    shop.write("shop/helper.py", "def fill(apps, editor):\n    pass\n")
    header = "from shop.helper import fill"
    shop.migration(f"shop.{NAME}", PRICE, python("fill", "fill"), after="0001_initial", header=header)
    shop.manage("migrate")
    shop.write("shop/helper.py", f"def fill(apps, editor):\n    {MARK.strip()}\n")
    lose(shop, how)
    accept = f"verify_migrations --accept shop {NAME}"

    assert accept in shop.manage("migrate").stderr
    shop.refused("migrate", "shop", "0001", naming=(f"shop.{NAME}", accept))
    assert accept in shop.attempt("verify_migrations").output
    assert not executed(shop)


def test_text_alone_made_to_be_the_file(edited):
    """The row says which text it is about: another one does not make the file what was applied."""
    change(edited, source_code=edited.read(f"shop/migrations/{NAME}.py"))

    edited.manage("migrate")
    edited.refused("migrate", "shop", "0001", naming=(f"shop.{NAME}", "changed after it was signed"))
    edited.refused("rewind", "shop", "0001", "--noinput", naming=f"shop.{NAME}")
    assert edited.attempt("verify_migrations").returncode == 1
    assert f"--accept shop {NAME}" in edited.attempt("backfill_migration_code").output
    edited.manage("verify_migrations", "--accept", "shop", NAME)
    edited.manage("verify_migrations")


def test_text_alone_made_to_be_another_file(traced):
    """It is not taken for a renamed one, whose record the file would get."""
    file = traced.migration("shop.0002_cost", COST, after="0001_initial")
    change(traced, source_code=file.read_text())

    assert "0002_cost does the same" not in traced.manage("show_stored_migrations").stdout
    traced.attempt("rewind", "--adopt", "--noinput")

    assert traced.applied("shop") == ["0001_initial", NAME]
    assert "shop.0002_cost" not in traced.stored()


def test_a_file_brought_back_is_stored(edited):
    """That is the other way out: it is the one that was applied, comments apart."""
    lose(edited, "row deleted")
    edited.manage("migrate")
    edited.migration(f"shop.{NAME}", PRICE, after="0001_initial")

    assert "verify_migrations" not in edited.manage("migrate").output
    edited.manage("migrate", "shop", "0001")
    assert edited.columns("shop_product") == {"id", "name"}


def test_the_same_program_is_no_other_file(shop):
    """As long as the text that was applied is known, comments and docstrings do not count."""
    file = shop.migration(f"shop.{NAME}", PRICE, after="0001_initial")
    shop.manage("migrate")
    file.write_text(f"# A remark.\n{file.read_text()}")
    lose(shop, "binding taken away")

    assert "verify_migrations" not in shop.manage("migrate").output
    assert stored(shop, "source_code") == (file.read_text(),)


def test_named_by_use_file_it_is_undone_by_its_file(edited):
    """Who names the file has decided."""
    lose(edited, "row deleted")
    edited.execute("ALTER TABLE shop_product RENAME COLUMN price TO cost")

    edited.manage("rewind", "shop", "0001", "--use-file", f"shop.{NAME}", "--noinput", "--allow-data-loss")

    assert edited.columns("shop_product") == {"id", "name"}


def test_marked_as_unapplied_without_a_question(edited):
    """A fake run executes nothing of the file."""
    lose(edited, "row deleted")

    edited.manage("migrate", "shop", "0001", "--fake")

    assert edited.applied("shop") == ["0001_initial"]


def test_unapplied_and_applied_again_it_is_known_anew(shop):
    """What the audit log knows of an earlier time does not count."""
    shop.migration(f"shop.{NAME}", PRICE, after="0001_initial")
    shop.manage("migrate")
    shop.manage("migrate", "shop", "0001")
    shop.migration(f"shop.{NAME}", COST, after="0001_initial")
    shop.manage("migrate")
    lose(shop, "row deleted")

    assert "verify_migrations" not in shop.manage("migrate").output
    shop.manage("migrate", "shop", "0001")
    assert shop.columns("shop_product") == {"id", "name"}
