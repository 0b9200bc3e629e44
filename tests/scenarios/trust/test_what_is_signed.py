"""What a person signs is read out of the text or shown in full, whatever a row says of itself."""

from __future__ import annotations

import json

import pytest

from tests.scenarios.trust.test_trust import change
from tests.support.helpers import Project, add, create, python

pytestmark = [pytest.mark.deep, pytest.mark.once]

PRICE = add("product", "price", "IntegerField(default=7)")


@pytest.fixture
def filled(shop: Project) -> Project:
    """Feature's 0002 is applied and missing, its column holds something, and no key of ours has signed its row."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 12)")
    return shop


def forge(shop: Project, **claims: object) -> None:
    """Have the row say something else of itself, as if somebody whom we do not know had signed that."""
    claimed = {**described(shop), **claims}
    change(shop, metadata=json.dumps(claimed), signature="0" * 64, key_fingerprint="0" * 16)


def described(shop: Project) -> dict[str, object]:
    ((text,),) = shop.rows("SELECT metadata FROM django_migrations_code WHERE migration_name = '0002_price'")
    return dict(json.loads(str(text)))


def sign(shop: Project) -> str:
    return shop.manage("verify_migrations", "--sign", "shop", "0002", answer="y").stdout


NOTHING = {"effects": [], "operations": []}
HARMLESS = {"effects": [], "operations": [{"text": "Does no harm", "reversible": True}]}

CLAIMS = {
    "no effects": {"effects": []},
    "no effects of a text": {"effects": [], "django": "", "python": ""},
    "does nothing": NOTHING,
    "does nothing, as a text": {**NOTHING, "django": ""},
    "harmless": HARMLESS,
    "another column": {
        "effects": [
            {
                "effect": "add_field",
                "model": "product",
                "field": "other",
                "column": "other",
                "database": True,
                "state": True,
            }
        ]
    },
    "depends on nothing": {"dependencies": []},
    "comes before": {"run_before": [["shop", "0001_initial"]]},
    "replaces": {"replaces": [["shop", "0001_initial"]]},
    "not atomic": {"atomic": False},
    "initial": {"initial": True},
    "irreversible": {"operations": [{"text": "Add field price to product", "reversible": False}]},
}


@pytest.mark.parametrize("claims", [*CLAIMS.values()], ids=[*CLAIMS])
def test_the_description_is_that_of_the_text(filled: Project, claims: dict[str, object]) -> None:
    """A filled column is asked about, whatever the row claimed before it was signed."""
    honest = described(filled)
    forge(filled, **claims)

    shown = sign(filled)

    for name in ("dependencies", "run_before", "replaces", "initial", "atomic", "operations", "effects"):
        assert described(filled)[name] == honest[name], name
    assert "Does no harm" not in shown
    assert "Operation: Add field price to product" in shown
    plan = filled.manage("rewind", "--plan").stdout
    assert "Loses the column 'price' of 'shop_product': 1 row" in plan
    filled.refused("rewind", "--noinput", naming="price")
    filled.manage("rewind", "--noinput", "--allow-data-loss")
    assert filled.columns("shop_product") == {"id", "name"}


def test_code_that_was_evaluated_is_shown(filled: Project) -> None:
    """It would be executed in the place of what the text comes to: so it is agreed to, or not signed."""
    forge(filled, evaluated=["import os\nmigrations.RunPython(print, open('executed', 'a').write)"])

    error = filled.refused("verify_migrations", "--sign", "shop", "0002", answer="n")

    assert "open('executed', 'a').write" in error.stdout
    assert "is executed" in error.stdout
    assert not (filled.path / "executed").exists()


def test_what_no_text_can_tell_is_shown(filled: Project) -> None:
    """The default key of that time, the commit, and what was installed or left out."""
    needs = {"packages": {"evil": "evil 1.0"}, "left_out": {"shop.secret": "because"}, "carried": []}
    forge(filled, auto_field="django.db.models.BigAutoField", needs=needs, commit="c0ffee", committed="today")

    shown = filled.refused("verify_migrations", "--sign", "shop", "0002", answer="n").stdout

    for what in ("django.db.models.BigAutoField", "evil 1.0", "shop.secret", "because", "c0ffee"):
        assert what in shown


def test_a_place_that_is_computed_is_shown(shop: Project) -> None:
    """What no text spells out is as the row says, and is shown; what its operations do is not believed."""
    with shop.on_branch("feature"):
        path = shop.migration("shop.0002_price", PRICE, after="0001_initial")
        text = path.read_text().replace("dependencies = [", "dependencies = [] + [")
        path.write_text(text)
        shop.manage("migrate")
    shop.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 12)")
    forge(shop, **HARMLESS)

    shown = sign(shop)

    assert "Depends on: shop.0001_initial" in shown
    assert "Does no harm" not in shown
    assert "Its text computes" in shown
    shop.refused("rewind", "--noinput", naming="price")


@pytest.mark.parametrize(
    "more",
    [
        "Migration.operations = []",
        "Migration.operations.clear()",
        "class Migration(Migration):\n    operations = []",
        "vars()['Migration'].operations = []",
    ],
    ids=["assigned", "emptied", "again", "by name"],
)
def test_a_text_that_does_not_mean_what_it_says(shop: Project, more: str) -> None:
    """What it does is known once it is executed; where that is not what was shown, nothing is done."""
    with shop.on_branch("feature"):
        path = shop.migration("shop.0002_price", create("Cart"), PRICE, after="0001_initial")
        shop.manage("migrate")
    text = path.read_text() if path.exists() else shop.git("show", "feature:shop/migrations/0002_price.py")
    from hashlib import sha256

    text += f"\n\n{more}\n"
    change(shop, source_code=text, digest=sha256(text.encode()).hexdigest())
    forge(shop)
    sign(shop)

    shop.attempt("rewind", "--noinput")

    assert {"shop_cart", "shop_product"} <= shop.tables()
    assert "price" in shop.columns("shop_product")


def test_what_the_applied_version_came_to(shop: Project) -> None:
    """Signed by a person, code that was shown is executed where the text comes to something else here."""
    shop.configure(raw="PRICE = 'price'")
    with shop.on_branch("feature"):
        header = "from django.conf import settings"
        operation = "migrations.AddField('product', settings.PRICE, models.IntegerField(default=7))"
        shop.migration("shop.0002_price", operation, after="0001_initial", header=header)
        shop.manage("migrate")
    shop.configure(raw="PRICE = 'other'", SECRET_KEY="another key")

    assert "name='price'" in sign(shop)
    shop.manage("rewind", "--noinput", "--allow-data-loss")

    assert shop.columns("shop_product") == {"id", "name"}


def test_functions_are_as_before(shop: Project) -> None:
    """Functions of the text are not lost in its description."""
    with shop.on_branch("feature"):
        header = "def fill(apps, editor):\n    'Fills.'"
        shop.migration("shop.0002_price", PRICE, python("fill", "fill"), after="0001_initial", header=header)
        shop.manage("migrate")
    shop.configure(SECRET_KEY="another key")

    sign(shop)

    shop.manage("rewind", "--noinput", "--allow-data-loss")
    assert shop.columns("shop_product") == {"id", "name"}
