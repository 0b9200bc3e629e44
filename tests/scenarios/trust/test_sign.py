"""Who did not sign a stored source looks at it and agrees, or it is never executed."""

from __future__ import annotations

import pytest

from tests.scenarios.trust.test_trust import MARK, PRICE, change, executed
from tests.support.helpers import add, create, python

pytestmark = [pytest.mark.deep, pytest.mark.once]

OTHER = {"SECRET_KEY": "another key"}


@pytest.fixture
def foreign(shop):
    """Feature's 0002 is applied and missing, and was signed with a key that is not here any more."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial", header=MARK)
        shop.manage("migrate")
        shop.delete("executed")
    shop.configure(**OTHER)
    return shop


def signed(shop) -> tuple[object, ...]:
    columns = "signature, serial, record_id, proof"
    (row,) = shop.rows(f"SELECT {columns} FROM django_migrations_code WHERE migration_name = '0002_price'")
    return row


def test_the_refusal_names_the_ways_out(foreign):
    """A key to add, a file to bring back, or a person who looks."""
    error = foreign.refused("migrate", "shop", "0001", naming="shop.0002_price").stderr

    assert "DJANGO_REWIND_SIGNING_KEYS" in error
    assert "verify_migrations --sign shop 0002_price" in error
    assert "bring back the file" in error


def test_looked_at_and_agreed(foreign):
    """All of it is shown; signed, it is undone as if it had been signed here, and the audit log knows."""
    shown = foreign.manage("verify_migrations", "--sign", "shop", "0002", answer="y").stdout

    assert "open('executed', 'a')" in shown
    assert "migrations.AddField('product', 'price'" in shown
    assert "it will count as what ran" in shown
    assert not executed(foreign)
    assert foreign.rows("SELECT event, serial FROM django_migrations_code_ledger WHERE event = 'signed'") == [
        ("signed", 2)
    ]
    foreign.manage("migrate", "shop", "0001")
    assert foreign.columns("shop_product") == {"id", "name"}


@pytest.mark.parametrize("answer", ["n", "", "maybe"])
def test_not_agreed(foreign, answer):
    """It stays as it is, and the exit status says so."""
    error = foreign.refused(
        "verify_migrations", "--sign", "shop", "0002", naming="shop.0002_price", answer=answer
    )

    assert "Not signed" in error.stderr
    foreign.refused("migrate", "shop", "0001", naming="shop.0002_price")
    assert not executed(foreign)


def test_nobody_to_ask(foreign):
    """Scripts do not agree to anything."""
    assert foreign.refused("verify_migrations", "--sign", naming="nobody to ask").returncode == 1


@pytest.mark.parametrize(
    "options",
    [
        ("--format", "json"),
        ("--diff",),
        ("--strict",),
        ("--accept", "shop", "0001"),
        ("--acknowledge", "shop", "0001"),
        ("--database", "all"),
    ],
    ids=lambda options: options[0],
)
def test_contradictions(foreign, options):
    """They are refused with the status of options that make no sense."""
    if "all" in options:
        foreign.add_database("second")
    assert foreign.refused("verify_migrations", "--sign", *options).returncode == 2


def test_three_names(foreign):
    """An app and a name, no more."""
    assert foreign.refused("verify_migrations", "--sign", "shop", "0001", "0002").returncode == 2


def test_unknown_names(foreign):
    """They are named."""
    foreign.refused("verify_migrations", "--sign", "stock", naming="'stock'")
    foreign.refused("verify_migrations", "--sign", "shop", "0009", naming="'0009'")


@pytest.mark.parametrize(
    "columns",
    [
        {"source_code": "print('other')"},
        {"metadata": "{"},
        {"record_id": None, "source_code": "x = 1"},
    ],
    ids="-".join,
)
def test_what_contradicts_itself_is_never_signed(foreign, columns):
    """A digest that does not match, or metadata that nobody can read: not asked, with the way out."""
    change(foreign, **columns)

    error = foreign.refused("verify_migrations", "--sign", "shop", "0002", answer="y")

    assert "never signed" in error.stderr
    assert "backfill_migration_code shop" in error.stderr
    assert "Sign it?" not in error.output


def test_tampered_is_never_signed(foreign):
    """Whoever agrees."""
    foreign.configure(SECRET_KEY="a key of the story")
    change(foreign, module="os")

    error = foreign.refused("verify_migrations", "--sign", "shop", "0002", answer="y")

    assert "changed after it was signed" in error.stderr
    assert "Sign it?" not in error.output


def test_what_nobody_has_signed_keeps_nobody_from_signing(foreign):
    """Whoever writes into the audit log that there was a newer text has to have a key."""
    foreign.execute(
        "INSERT INTO django_migrations_code_ledger (at, event, app_label, migration_name, digest, serial, "
        "source, detail, alias, django, python, os_user, host, signature, pid, "
        + ("`commit`, branch)" if foreign.db().vendor == "mysql" else '"commit", branch)')
        + " VALUES ('2026-01-01 00:00:00', 'captured', 'shop', '0002_price', '', 7, '', '', 'default', '', '', '', '', '', 1, '', '')"
    )

    foreign.manage("verify_migrations", "--sign", "shop", "0002", answer="y")

    foreign.manage("migrate", "shop", "0001")


def test_a_record_of_another_time_is_not_proven(foreign):
    """What was applied again since is not what is stored; signing does not make it so."""
    foreign.execute("UPDATE django_migrations SET id = 7000 WHERE name = '0002_price'")

    shown = foreign.manage("verify_migrations", "--sign", "shop", "0002", answer="y").stdout

    assert "will stay unproven" in shown
    assert signed(foreign)[2:] == (None, "")
    foreign.refused("migrate", "shop", "0001", naming="not proven")
    assert not executed(foreign)


def test_the_same_as_the_file(foreign):
    """It is said, and not printed again."""
    foreign.switch("feature")

    shown = foreign.manage("verify_migrations", "--sign", "shop", "0002", answer="y").stdout

    assert "Its text is the same as the file." in shown
    assert "class Migration" not in shown


def test_not_the_same_as_the_file(foreign):
    """The difference is shown."""
    foreign.migration("shop.0002_price", PRICE, after="0001_initial")

    shown = foreign.manage("verify_migrations", "--sign", "shop", "0002", answer="y").stdout

    assert "    | -open('executed', 'a').close()" in shown


HOSTILE = {
    "escape": "\x1b[2J\x1b[1;1H",
    "backspace": "\x08" * 9,
    "carriage return": "\r# hidden",
    "override": "\u202e gnorw",
    "separator": "\u2028",
    "zero width": "\u200b",
    "next line": "\x85",
}


@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
def test_nothing_hides_itself(shop, hostile):
    """What would steer the terminal is shown as it is written in Python."""
    with shop.on_branch("feature"):
        path = shop.migration("shop.0002_price", PRICE, after="0001_initial")
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write(f"# before{hostile}after\n")
        shop.manage("migrate")
    shop.configure(**OTHER)

    shown = shop.manage("verify_migrations", "--sign", "shop", "0002", answer="y").stdout

    escaped = hostile.encode("unicode_escape").decode()
    assert f"# before{escaped}after" in shown
    assert not {*hostile} & {*"\x1b\x08\r\u202e\u2028\u200b\x85"} & {*shown}


def test_what_it_carries_along(shop):
    """Modules and data are shown with it: the same, different, gone, or no text at all."""
    with shop.on_branch("feature"):
        shop.write("shop/helper.py", "def fill(apps, editor):\n    pass\n")
        shop.write("shop/gone.py", "VALUE = 'of gone'\n")
        (shop.path / "shop/migrations/data.bin").write_bytes(b"\x00\x01\xff")
        shop.migration(
            "shop.0002_price",
            PRICE,
            python("fill", "fill"),
            after="0001_initial",
            header="""
                from pathlib import Path
                from shop.gone import VALUE
                from shop.helper import fill
                DATA = (Path(__file__).parent / "data.bin").read_bytes()
            """,
        )
        shop.manage("migrate")
    shop.write("shop/helper.py", "def fill(apps, editor):\n    raise ValueError\n")
    shop.configure(**OTHER)

    shown = shop.manage("verify_migrations", "--sign", "shop", "0002", answer="y").stdout

    assert "    | -    pass" in shown
    assert "    | VALUE = 'of gone'" in shown
    assert "data.bin: 3 bytes that are no text" in shown
    shop.manage("migrate", "shop", "0001")
    assert shop.columns("shop_product") == {"id", "name"}


def test_changed_contents_are_never_signed(shop):
    """What it carries along has to be what the row says."""
    with shop.on_branch("feature"):
        shop.write("shop/helper.py", "def fill(apps, editor):\n    pass\n")
        header = "from shop.helper import fill"
        shop.migration("shop.0002_price", python("fill", "fill"), after="0001_initial", header=header)
        shop.manage("migrate")
    shop.execute("UPDATE django_migrations_code_content SET content = %s", b"open('executed', 'a')")
    shop.configure(**OTHER)

    error = shop.refused("verify_migrations", "--sign", "shop", "0002", answer="y")

    assert "shop.helper" in error.stderr
    assert "Sign it?" not in error.output


def test_rewind_asks_on_a_development_machine(foreign):
    """It shows the same, and goes on after a yes."""
    result = foreign.manage("rewind", answer="y\ny")

    assert "open('executed', 'a')" in result.stdout
    assert foreign.columns("shop_product") == {"id", "name"}


@pytest.mark.parametrize("answer", ["n", None])
def test_rewind_is_refused_without_a_yes(foreign, answer):
    """As it is where nobody is asked."""
    foreign.refused("rewind", naming="shop.0002_price", answer=answer)

    assert not executed(foreign)


def test_rewind_does_not_ask_in_production(foreign):
    """Nor where it is not interactive, nor where it only shows."""
    foreign.refused("rewind", "--noinput", naming="shop.0002_price", answer="y\ny")
    assert "Sign it?" not in foreign.attempt("rewind", "--plan", answer="y\ny").output
    foreign.configure(DEBUG=False, ALLOWED_HOSTS=["*"])
    foreign.refused("rewind", naming="shop.0002_price", answer="y\ny")
    assert not executed(foreign)


def test_old_key_is_dropped(foreign):
    """What an old key of the list has signed is signed with the first, without a question."""
    foreign.configure(DJANGO_REWIND_SIGNING_KEYS=["the new key", "a key of the story"])

    result = foreign.manage("verify_migrations", "--sign")

    assert "shop.0002_price is signed with the first key." in result.stdout
    assert "Sign it?" not in result.stdout
    foreign.configure(DJANGO_REWIND_SIGNING_KEYS=["the new key"])
    assert "nothing to sign" in foreign.manage("verify_migrations", "--sign").stdout
    foreign.manage("migrate", "shop", "0001")
    assert foreign.columns("shop_product") == {"id", "name"}


def test_identity_of_a_database_in_which_nothing_else_is_of_the_old_key(foreign):
    """It is signed with the first key as well, and it is not said that nothing was changed."""
    foreign.configure(DJANGO_REWIND_SIGNING_KEYS=["the new key", "a key of the story"])
    (of_the_old_key,) = foreign.rows("SELECT signature, key_fingerprint FROM django_migrations_identity")
    foreign.manage("verify_migrations", "--sign")
    # As where all of it was captured with the new key, and nobody has asked for it to be signed anew.
    foreign.execute(
        "UPDATE django_migrations_identity SET signature = %s, key_fingerprint = %s", *of_the_old_key
    )
    change(foreign, source_code="x")

    assert "Nothing has been changed" in foreign.attempt("verify_migrations", "--sign", "shop", "0002").stderr
    result = foreign.attempt("verify_migrations", "--sign")

    assert result.returncode == 1
    assert "shop.0002_price is never signed" in result.stderr
    assert "What is noted of the database itself is signed with the first key." in result.stdout
    assert "Nothing has been changed" not in result.output
    foreign.configure(DJANGO_REWIND_SIGNING_KEYS=["the new key"])
    assert "no identity" not in foreign.attempt("verify_migrations").output
    assert foreign.attempt("verify_migrations", "shop", "0001").returncode == 0


def test_two_of_which_one_is_agreed(shop):
    """The other one stays as it is."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.migration("shop.0003_cart", create("Cart"), after="0002_price")
        shop.manage("migrate")
    shop.configure(**OTHER)
    shop.attempt("verify_migrations", "--sign", "shop", "0001", answer="y")

    result = shop.attempt("verify_migrations", "--sign", "shop", answer="n\ny")

    assert result.returncode == 1
    assert "shop.0003_cart is signed." in result.stdout
    assert "Not signed: shop.0002_price" in result.stderr
    shop.refused("migrate", "shop", "0001", naming="shop.0002_price")


def test_edited_since_it_was_signed_elsewhere(shop):
    """A step that would be undone from a foreign source while its file differs is asked for as well."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")
    shop.migration("shop.0002_price", add("product", "cost", "IntegerField(default=7)"), after="0001_initial")
    shop.configure(**OTHER)

    shop.refused("rewind", "shop", "0001", "--noinput", naming="shop.0002_price")
    shop.manage("rewind", "shop", "0001", answer="y\ny\ny")

    assert shop.columns("shop_product") == {"id", "name"}


def test_all_that_is_not_signed_is_named_at_once(shop):
    """One answer is enough to know what has to be looked at."""
    with shop.on_branch("feature"):
        shop.migration(
            "shop.0002_price", add("product", "price", "IntegerField(null=True)"), after="0001_initial"
        )
        shop.migration(
            "shop.0003_stock", add("product", "stock", "IntegerField(null=True)"), after="0002_price"
        )
        shop.manage("migrate")
    shop.execute(
        "UPDATE django_migrations_code SET signature = '', key_fingerprint = '' WHERE migration_name LIKE %s",
        "000%_%",
    )

    for command in (
        ["rewind", "--noinput"],
        ["rewind", "--plan"],
        ["migrate", "shop", "0001"],
        ["rewind", "shop", "0001", "--noinput"],
    ):
        shop.refused(
            *command,
            naming=(
                "'manage.py verify_migrations --sign shop 0002_price'",
                "'manage.py verify_migrations --sign shop 0003_stock'",
            ),
        )
