"""Every tampering that we could think of: noticed, refused by name, and nothing executed or changed."""

from __future__ import annotations

import json
from hashlib import sha256
from itertools import combinations

import pytest

from tests.scenarios.trust.test_trust import MARK, PRICE, change, executed
from tests.support.helpers import Project, create, python

pytestmark = [pytest.mark.alone, pytest.mark.deep, pytest.mark.once]

NAME = "0002_price"
COLUMNS = (
    "source_code",
    "module",
    "metadata",
    "provenance",
    "digest",
    "signature",
    "key_fingerprint",
    "record_id",
    "proof",
    "serial",
)
# What makes a row what it is: these together are a row of another time or migration.
SIGNED = ("source_code", "metadata", "provenance", "digest", "signature", "key_fingerprint")
TIED = ("record_id", "proof")


def row(shop: Project, name: str = NAME, table: str = "django_migrations_code") -> dict[str, object]:
    """Return the newest row of a migration."""
    sql = f"SELECT {', '.join(COLUMNS)} FROM {table} WHERE migration_name = %s ORDER BY id DESC"
    return dict(zip(COLUMNS, shop.rows(sql, name)[0]))


def note(shop: Project, serial: object, name: str = NAME) -> None:
    """Write into the audit log that a text was captured under a serial number."""
    columns = ["at", "event", "app_label", "migration_name", "digest", "serial", "source", "detail"]
    columns += ["alias", "django", "python", "os_user", "host", "pid", "commit", "branch", "signature"]
    values = ["2026-01-01 00:00:00", "captured", "shop", name, "", serial, "", ""]
    values += ["default", "", "", "", "", 1, "", "", ""]
    quote = "`" if shop.db().vendor == "mysql" else '"'
    names = ", ".join(f"{quote}{column}{quote}" for column in columns)
    places = ", ".join(["%s"] * len(values))
    shop.execute(f"INSERT INTO django_migrations_code_ledger ({names}) VALUES ({places})", *values)


def refused(shop: Project) -> None:
    """Whatever needs it is refused by name; nothing is executed; schema, records and rows stay."""
    shop.refused("migrate", "shop", "0001", naming=f"shop.{NAME}")
    shop.refused("rewind", "--noinput", naming=f"shop.{NAME}")
    shop.refused("verify_migrations", "--sign", "shop", NAME, answer="y\ny")
    assert not executed(shop)


OTHER_VALUES = {
    "source_code": "import os\n" + MARK,
    "module": "os",
    "metadata": "{}",
    "provenance": "inherited",
    "digest": sha256(MARK.encode()).hexdigest(),
    "signature": "0" * 64,
    "record_id": 4711,
    "proof": "0" * 64,
    "serial": 9,
}


@pytest.mark.parametrize("column", OTHER_VALUES)
def test_each_column(traced, column):
    """Changed alone."""
    change(traced, **{column: OTHER_VALUES[column]})

    refused(traced)


@pytest.mark.parametrize("pair", [*combinations(OTHER_VALUES, 2)], ids="-".join)
def test_each_two_columns(traced, pair):
    """Changed together: no two of them make up for one another."""
    change(traced, **{column: OTHER_VALUES[column] for column in pair})

    traced.refused("migrate", "shop", "0001", naming=f"shop.{NAME}")
    assert not executed(traced)


@pytest.mark.parametrize(
    "columns",
    [
        {"proof": ""},
        {"serial": 0},
        {"serial": 0, "proof": ""},
        {"record_id": None},
        {"record_id": None, "proof": ""},
        {"signature": "", "proof": ""},
        {"signature": "", "key_fingerprint": "", "proof": ""},
        {"digest": ""},
        {"metadata": "null"},
        {"metadata": "[]"},
        {"signature": "x"},
        {"signature": "\u00fc" * 64},
        {"proof": "\u00fc" * 64},
        {"serial": 2147483647},
    ],
    ids=lambda columns: "-".join(map(str, sum(columns.items(), ()))),
)
def test_each_column_emptied(traced, columns):
    """What is taken away is missed."""
    change(traced, **columns)

    traced.refused("migrate", "shop", "0001", naming=f"shop.{NAME}")
    traced.refused("rewind", "--noinput", naming=f"shop.{NAME}")
    assert not executed(traced)


def test_all_columns(traced):
    """A row made anew without a key."""
    text = MARK
    digest = sha256(text.encode()).hexdigest()
    change(traced, **{**OTHER_VALUES, "source_code": text, "digest": digest, "key_fingerprint": "0" * 16})

    traced.refused("migrate", "shop", "0001", naming=f"shop.{NAME}")
    assert not executed(traced)


# Records


def test_unproven_made_proven(traced):
    """A record that is written into a row that was proven for none is no proof."""
    (before,) = traced.rows("SELECT record_id FROM django_migrations_code WHERE migration_name = %s", NAME)
    change(traced, record_id=None, proof="")
    traced.refused("migrate", "shop", "0001", naming="not proven")
    change(traced, record_id=before[0])

    refused(traced)


def test_proof_of_another_migration(traced):
    """A proof is worth nothing beside another signature."""
    change(traced, proof=row(traced, "0001_initial")["proof"])

    refused(traced)


def test_record_moved(traced):
    """The record of the migration itself was given another id."""
    traced.execute("UPDATE django_migrations SET id = 4711 WHERE name = %s", NAME)

    traced.refused("migrate", "shop", "0001", naming=f"shop.{NAME}")
    assert not executed(traced)


def test_record_and_row_moved(traced):
    """Both were given the same other id."""
    traced.execute("UPDATE django_migrations SET id = 4711 WHERE name = %s", NAME)
    change(traced, record_id=4711)

    refused(traced)


# Rows of others


@pytest.fixture
def two(shop):
    """Feature's 0002 and 0003 are applied and missing."""
    with shop.on_branch("feature"):
        shop.migration(f"shop.{NAME}", PRICE, after="0001_initial", header=MARK)
        shop.migration("shop.0003_cart", create("Cart"), after=NAME, header=MARK)
        shop.manage("migrate")
        shop.delete("executed")
    return shop


@pytest.mark.parametrize(
    "columns",
    [SIGNED, (*SIGNED, "module"), (*SIGNED, *TIED), COLUMNS, ("signature",), TIED, ("source_code", "digest")],
    ids="-".join,
)
def test_row_of_another_migration(two, columns):
    """What was signed for one migration is worth nothing for another."""
    other = row(two, "0003_cart")
    change(two, **{column: other[column] for column in columns})

    two.refused("migrate", "shop", "0001", naming=f"shop.{NAME}")
    assert not executed(two)


@pytest.mark.parametrize("app_label", ["stock", "SHOP", "sh\u00f6p"])
def test_row_of_another_app(traced, app_label):
    """Moved to another app, it is stored for nobody."""
    change(traced, app_label=app_label)

    traced.refused("migrate", "shop", "0001", naming=f"shop.{NAME}")
    assert not executed(traced)


def test_names_swapped(two):
    """Two rows that have changed their places."""
    for old, new in ((NAME, "x"), ("0003_cart", NAME), ("x", "0003_cart")):
        two.execute(
            "UPDATE django_migrations_code SET migration_name = %s WHERE migration_name = %s", new, old
        )

    two.refused("migrate", "shop", "0001", naming="shop.000")
    assert not executed(two)


# What is carried along


@pytest.fixture
def carrying(shop):
    """What is applied and missing carries two helpers."""
    with shop.on_branch("feature"):
        shop.write("shop/one.py", "def fill(apps, editor):\n    pass\n")
        shop.write("shop/two.py", "def clear(apps, editor):\n    pass\n")
        header = "from shop.one import fill\nfrom shop.two import clear"
        shop.migration(f"shop.{NAME}", PRICE, python("fill", "clear"), after="0001_initial", header=header)
        shop.manage("migrate")
    return shop


def contents(shop: Project) -> dict[str, str]:
    """Return digests by name, of what the migration carries along."""
    metadata = json.loads(str(row(shop)["metadata"]))
    return {one["name"]: one["digest"] for one in metadata["needs"]["carried"]}


def test_carried_module_changed(carrying):
    """Its content is not that of its digest."""
    sql = "UPDATE django_migrations_code_content SET content = %s WHERE digest = %s"
    carrying.execute(sql, MARK.encode(), contents(carrying)["shop.one"])

    refused_with_damage(carrying)


def test_carried_module_gone(carrying):
    """Its content was deleted."""
    carrying.execute("DELETE FROM django_migrations_code_content")

    refused_with_damage(carrying)


def test_carried_modules_swapped(carrying):
    """Each has the content of the other."""
    digests = contents(carrying)
    one, other = digests["shop.one"], digests["shop.two"]
    for old, new in ((one, "x"), (other, one), ("x", other)):
        carrying.execute("UPDATE django_migrations_code_content SET digest = %s WHERE digest = %s", new, old)

    refused_with_damage(carrying)


def test_carried_module_of_another_digest(carrying):
    """The metadata name another content, which is there and fits."""
    digest = sha256(MARK.encode()).hexdigest()
    metadata = str(row(carrying)["metadata"]).replace(contents(carrying)["shop.one"], digest)
    carrying.execute(
        "UPDATE django_migrations_code_content SET digest = %s, content = %s WHERE digest = %s",
        digest,
        MARK.encode(),
        contents(carrying)["shop.one"],
    )
    change(carrying, metadata=metadata)

    refused(carrying)


def refused_with_damage(shop: Project) -> None:
    shop.refused("migrate", "shop", "0001", naming=(f"shop.{NAME}", "shop."))
    shop.refused("rewind", "--noinput", naming=f"shop.{NAME}")
    assert not executed(shop)


# An older row put back


@pytest.fixture
def again(traced):
    """Applied, undone, and applied again with other source; what ran first leaves a mark."""
    first = row(traced)
    traced.manage("migrate", "shop", "0001")
    traced.delete("executed")
    with traced.on_branch("feature"):
        traced.migration(f"shop.{NAME}", PRICE, after="0001_initial")
        traced.manage("migrate")
    assert row(traced)["serial"] == 2
    note(traced, 2)
    traced.first = first
    return traced


REPLAYS = {
    "all of it": COLUMNS,
    "but its record": tuple(column for column in COLUMNS if column not in TIED),
    "but its proof": tuple(column for column in COLUMNS if column != "proof"),
    "but its serial": tuple(column for column in COLUMNS if column != "serial"),
    "signature and text": ("source_code", "digest", "signature"),
    "what is signed": (*SIGNED, "serial"),
    "signature alone": ("signature",),
    "text alone": ("source_code",),
    "serial alone": ("serial",),
    "signature, serial and proof": ("signature", "serial", "proof"),
}


@pytest.mark.parametrize("columns", [*REPLAYS.values()], ids=[*REPLAYS])
def test_older_row_put_back(again, columns):
    """From a copy that somebody kept."""
    change(again, **{column: again.first[column] for column in columns})

    refused(again)


@pytest.mark.parametrize("columns", [COLUMNS, (*SIGNED, "module", "serial")], ids=["all", "signed"])
def test_older_row_put_back_with_its_record(again, columns):
    """The record was given the id that it had then."""
    again.execute("UPDATE django_migrations SET id = %s WHERE name = %s", again.first["record_id"], NAME)
    change(again, **{column: again.first[column] for column in columns})

    again.refused("migrate", "shop", "0001", naming=f"shop.{NAME}")
    again.refused("rewind", "--noinput", naming=f"shop.{NAME}")
    assert not executed(again)


def test_older_row_from_the_history(again):
    """That it is in the history is no reason to believe it."""
    older = row(again, table="django_migrations_code_history")
    again.execute("UPDATE django_migrations SET id = %s WHERE name = %s", older["record_id"], NAME)
    change(again, **older)

    error = again.refused("migrate", "shop", "0001", naming=f"shop.{NAME}").stderr

    assert "older one, put back in the place of a newer" in error
    assert "backfill_migration_code shop" in error
    assert not executed(again)


def test_older_row_and_history_emptied(again):
    """The audit log knows."""
    again.execute("DELETE FROM django_migrations_code_history")
    again.execute("UPDATE django_migrations SET id = %s WHERE name = %s", again.first["record_id"], NAME)
    change(again, **again.first)

    refused(again)


def test_audit_log_emptied(again):
    """Nothing becomes unrecoverable: an older row would merely not be noticed."""
    again.execute("DELETE FROM django_migrations_code_ledger")
    again.execute("DELETE FROM django_migrations_code_history")

    again.manage("migrate", "shop", "0001")

    assert again.columns("shop_product") == {"id", "name"}
    assert not executed(again)


@pytest.mark.parametrize("serial", [0, 4294967295], ids=str)
def test_senseless_serials_in_the_audit_log(traced, serial):
    """They say nothing, and keep nobody from going back."""
    if traced.db().vendor != "sqlite" and serial != 0:
        pytest.skip("This database does not take it.")
    note(traced, serial)

    traced.manage("migrate", "shop", "0001")

    assert traced.columns("shop_product") == {"id", "name"}


def test_audit_log_that_claims_too_much(traced):
    """Nobody has signed that, and it keeps nobody from going back."""
    note(traced, 2147483646)

    traced.manage("migrate", "shop", "0001")

    assert traced.columns("shop_product") == {"id", "name"}


# Replaced from the file, or from git


@pytest.mark.parametrize(
    "columns",
    [{"source_code": MARK}, {"module": "os"}, {"proof": ""}, {"serial": 5}, {"signature": ""}],
    ids="-".join,
)
@pytest.mark.parametrize("from_git", [False, True], ids=["file", "git"])
def test_replaced(traced, columns, from_git):
    """What was tampered with is kept as evidence, and what replaces it is recoverable."""
    change(traced, **columns)
    tampered = row(traced)
    if not from_git:
        traced.switch("feature")

    options = {"answer": "yes"} if from_git else {}
    done = traced.manage("backfill_migration_code", "shop", *(["--from-git"] if from_git else []), **options)

    traced.switch("main")
    assert f"Of shop.{NAME}, its stored source" in done.stderr
    kept = row(traced, table="django_migrations_code_history")
    assert kept["source_code"] == tampered["source_code"]
    assert kept["signature"] == tampered["signature"]
    assert row(traced)["provenance"] == ("git" if from_git else "backfilled")
    traced.delete("executed") if executed(traced) else None
    traced.manage("migrate", "shop", "0001")
    assert traced.columns("shop_product") == {"id", "name"}


def test_damaged_contents_are_replaced(carrying):
    """From the file that they were read from."""
    carrying.execute("UPDATE django_migrations_code_content SET content = %s", b"raise ValueError")
    carrying.switch("feature")

    carrying.manage("backfill_migration_code", "shop")

    carrying.switch("main")
    carrying.manage("migrate", "shop", "0001")
    assert carrying.columns("shop_product") == {"id", "name"}


def test_what_is_well_is_not_replaced(traced):
    """There is nothing to store."""
    traced.switch("feature")
    traced.delete("executed") if executed(traced) else None
    before = row(traced)

    traced.manage("backfill_migration_code", "shop")

    assert row(traced) == before


# Keys


@pytest.mark.parametrize(
    "keys",
    [["x", ""], "a key of the story", [], {"a key of the story": 1}, [None], ["\x00"], [b"bytes"]],
    ids=str,
)
def test_hostile_lists_of_keys(traced, keys):
    """Whatever stands there, it is no way in, and no crash."""
    traced.configure(
        DJANGO_REWIND_SIGNING_KEYS=keys, SECRET_KEY="another", SILENCED_SYSTEM_CHECKS=["django_rewind.E001"]
    )

    traced.refused("migrate", "shop", "0001", naming=f"shop.{NAME}")
    assert not executed(traced)


def test_a_random_key_for_each_process(traced):
    """What one process signs is foreign to the next: refused, never tampered with, and no crash."""
    traced.configure(raw="import secrets\nSECRET_KEY = secrets.token_hex()")

    error = traced.refused("migrate", "shop", "0001", naming=f"shop.{NAME}").stderr

    assert "another key" in error
    assert not executed(traced)


def test_rotation_step_by_step(traced):
    """Old alone, both, the new one first, and, signed again, the new one alone."""
    old, new = "a key of the story", "the new one"
    for keys in ([old], [old, new], [new, old]):
        traced.configure(DJANGO_REWIND_SIGNING_KEYS=keys)
        assert f"shop.{NAME}" not in traced.attempt("verify_migrations", "shop").output
    traced.configure(DJANGO_REWIND_SIGNING_KEYS=[new])
    traced.refused("migrate", "shop", "0001", naming="another key")
    traced.configure(DJANGO_REWIND_SIGNING_KEYS=[new, old])
    traced.manage("verify_migrations", "--sign")
    traced.configure(DJANGO_REWIND_SIGNING_KEYS=[new])
    traced.manage("migrate", "shop", "0001")

    assert traced.columns("shop_product") == {"id", "name"}


@pytest.mark.parametrize("column", OTHER_VALUES)
def test_tampered_under_an_old_key(traced, column):
    """A key further down in the list is no weaker."""
    traced.configure(DJANGO_REWIND_SIGNING_KEYS=["the new one", "a key of the story"])
    change(traced, **{column: OTHER_VALUES[column]})

    refused(traced)


# Signatures that are not required


@pytest.fixture
def relaxed(traced):
    traced.configure(DJANGO_REWIND_REQUIRE_SIGNATURES=False)
    return traced


@pytest.mark.parametrize(
    "columns",
    [{}, {"signature": "", "proof": ""}, {"signature": "0" * 64, "key_fingerprint": "0" * 16}],
    ids=str,
)
def test_used_whoever_has_signed(relaxed, columns):
    """Its digests match, and that is all that is asked for."""
    relaxed.configure(SECRET_KEY="another" if not columns else "a key of the story")
    change(relaxed, **columns)

    assert "django_rewind.W010" in relaxed.attempt("check").output
    relaxed.manage("migrate", "shop", "0001")

    assert relaxed.columns("shop_product") == {"id", "name"}


@pytest.mark.parametrize(
    "columns",
    [{"source_code": MARK}, {"digest": "0" * 64}, {"metadata": "{}"}, {"source_code": MARK, "signature": ""}],
    ids="-".join,
)
@pytest.mark.parametrize("key", ["another", "a key of the story"])
def test_digests_have_to_match_all_the_same(relaxed, columns, key):
    """Whoever has signed."""
    relaxed.configure(SECRET_KEY=key)
    change(relaxed, **columns)

    relaxed.refused("migrate", "shop", "0001", naming=f"shop.{NAME}")
    assert not executed(relaxed)


def test_older_one_is_refused_all_the_same(relaxed):
    """Nothing is asked of keys to see that."""
    note(relaxed, 2)

    relaxed.refused("migrate", "shop", "0001", naming="older one")
    assert not executed(relaxed)


# Names


def test_names_of_any_alphabet(shop):
    """A migration of another alphabet is signed, proven and refused as any other."""
    name = "0002_\u0446\u0435\u043d\u0430"
    with shop.on_branch("feature"):
        shop.migration(f"shop.{name}", PRICE, after="0001_initial", header=MARK)
        shop.manage("migrate")
        shop.delete("executed")
    shop.execute("UPDATE django_migrations_code SET proof = '' WHERE migration_name = %s", name)
    shop.refused("migrate", "shop", "0001", naming=name)
    assert not executed(shop)
    shop.manage("backfill_migration_code", "shop", "--from-git", answer="yes")

    shop.manage("migrate", "shop", "0001")

    assert shop.columns("shop_product") == {"id", "name"}
