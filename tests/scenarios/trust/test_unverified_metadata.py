"""What nobody we know has signed decides nothing: neither what a forward run does, nor what it refuses."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from tests.scenarios.trust.test_trust import PRICE, change
from tests.support.helpers import Project, add, create

pytestmark = [pytest.mark.deep, pytest.mark.once]

EDITED = "raise SystemExit('executed')\n"

NEXT = add("product", "size", "IntegerField(null=True)")

# What a row may claim that somebody has changed.
CLAIMS = {
    "takes the model away": {
        "effects": [{"effect": "delete_model", "model": "product", "database": True, "state": True}]
    },
    "takes the next column": {
        "effects": [
            {
                "effect": "add_field",
                "model": "product",
                "field": "size",
                "column": "size",
                "database": True,
                "state": True,
            }
        ]
    },
    "comes before": {"run_before": [["shop", "0003_size"]]},
    "depends on what comes": {"dependencies": [["shop", "0003_size"]]},
    "replaces what comes": {"replaces": [["shop", "0003_size"]]},
    "replaces all": {"replaces": [["shop", "0001_initial"], ["shop", "0003_size"]]},
    "evaluated": {"evaluated": ["raise SystemExit"], "auto_field": "django.db.models.BigAutoField"},
    "bundles": {
        "needs": {
            "carried": [{"name": "shop.models", "kind": "module", "digest": "0" * 64, "size": 1}],
            "left_out": {},
            "packages": {},
        }
    },
}


def claim(shop: Project, values: dict[str, object]) -> None:
    """Change the metadata of 0002, and its text."""
    ((text,),) = shop.rows("SELECT metadata FROM django_migrations_code WHERE migration_name = '0002_price'")
    change(shop, metadata=json.dumps({**json.loads(text), **values}))


def edit(shop: Project) -> None:
    """Change the text of 0002, and the digest beside it."""
    change(shop, source_code=EDITED, digest=sha256(EDITED.encode()).hexdigest())


@pytest.fixture
def with_file(shop: Project) -> Project:
    """0002 is applied, and its file is here; 0003 comes next."""
    shop.migration("shop.0002_price", PRICE, after="0001_initial")
    shop.manage("migrate")
    shop.migration("shop.0003_size", NEXT, after="0002_price")
    return shop


@pytest.fixture
def without_file(shop: Project) -> Project:
    """0002 is applied, and its file is on another branch; 0003 comes next."""
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial")
        shop.manage("migrate")
    shop.migration("shop.0003_size", NEXT, after="0001_initial")
    return shop


@pytest.mark.parametrize("is_edited", [False, True], ids=["same text", "another text"])
@pytest.mark.parametrize("values", [*CLAIMS.values()], ids=[*CLAIMS])
def test_forward_with_a_file(with_file: Project, values: dict[str, object], is_edited: bool) -> None:
    """The file is what counts, and the run goes on; where the text is another one, that is said."""
    claim(with_file, values)
    if is_edited:
        edit(with_file)

    done = with_file.manage("migrate")

    assert with_file.columns("shop_product") == {"id", "name", "price", "size"}
    assert with_file.applied("shop") == ["0001_initial", "0002_price", "0003_size"]
    if is_edited:
        assert "shop.0002_price" in done.stderr
        assert "changed after it was signed" in done.stderr
        assert "backfill_migration_code shop 0002_price" in done.stderr


@pytest.mark.parametrize("values", [*CLAIMS.values()], ids=[*CLAIMS])
def test_forward_without_a_file(without_file: Project, values: dict[str, object]) -> None:
    """What is missing is left out, and the run goes on."""
    claim(without_file, values)

    done = without_file.manage("migrate")

    assert {"id", "name", "price", "size"} == without_file.columns("shop_product")
    assert "shop.0002_price" in done.output
    without_file.refused("rewind", "--noinput", naming=("shop.0002_price", "changed after it was signed"))


@pytest.mark.parametrize("values", [*CLAIMS.values()], ids=[*CLAIMS])
def test_back_with_another_text(with_file: Project, values: dict[str, object]) -> None:
    """Going back over a file that is not what was stored is refused; to mark it as unapplied needs no source."""
    claim(with_file, values)
    edit(with_file)

    with_file.refused(
        "migrate", "shop", "0001", naming=("shop.0002_price", "changed after it was signed", "--use-file")
    )
    with_file.manage("migrate", "shop", "0001", "--fake")
    assert with_file.applied("shop") == ["0001_initial"]


def test_a_plan_shows_the_file(with_file: Project) -> None:
    """What a changed row says that it does is not printed as if it were so."""
    claim(with_file, {"operations": [{"text": "Does no harm at all", "reversible": True}]})
    edit(with_file)

    shown = with_file.attempt("migrate", "shop", "0001", "--plan").output

    assert "Does no harm" not in shown
    assert "changed after it was signed" in shown


def test_redo_does_not_apply_what_a_row_claims(with_file: Project) -> None:
    """That a file was captured by a run that stopped is believed of a signed row alone."""
    with_file.migration("shop.0003_size", create("Cart"), after="0002_price")
    columns = (
        "module, metadata, provenance, digest, signature, key_fingerprint, signed_for, "
        "proof, serial, source_code, stored_at"
    )
    with_file.execute(
        f"INSERT INTO django_migrations_code (app_label, migration_name, {columns}) "
        f"SELECT 'shop', '0003_size', {columns} FROM django_migrations_code WHERE migration_name = '0002_price'"
    )
    with_file.manage("rewind", "--redo-modified", "--noinput")

    assert "shop_cart" not in with_file.tables()
