"""What a migration imports and reads is bundled with it: it is unapplied though its helpers are gone or changed."""

from __future__ import annotations

from textwrap import dedent

import pytest

from tests.support.helpers import Project, add, create, python

pytestmark = [pytest.mark.deep, pytest.mark.once]

PRICE = add("product", "price", "IntegerField(default=7)")
#: The project as the process that rewinds sees it before and after, printed as one line each.
LOOK = """
import sys
from django.apps import apps
def look():
    names = {name for name in sys.modules if name.split(".")[0] in ("shop", "tools", "cart")}
    models = sorted(model._meta.label for model in apps.get_models())
    return sorted((name, id(sys.modules[name])) for name in names), list(sys.path), models
"""


@pytest.fixture
def left(shop: Project):
    """Leave the branch on which a migration and what it needs were written and applied."""

    def leave(name: str, *operations: str, header: str = "", files: dict[str, str] | None = None) -> None:
        with shop.on_branch("feature"):
            for path, text in (files or {}).items():
                shop.write(path, text)
            shop.migration(f"shop.{name}", *operations, after="0001_initial", header=header)
            shop.execute("INSERT INTO shop_product (name) VALUES ('Tea')")
            shop.manage("migrate")

    return leave


def names(shop: Project) -> list[object]:
    return [name for (name,) in shop.rows("SELECT name FROM shop_product")]


def undo(shop: Project) -> str:
    """Go back to 0001 within one process, which is afterwards what it was."""
    result = shop.run(
        LOOK
        + """
from django.core.management import call_command
from django.db.migrations.loader import MigrationLoader
MigrationLoader(None).load_disk()
before = look()
call_command("migrate", "shop", "0001", no_color=True)
after = look()
print("UNTOUCHED" if before == after else f"CHANGED {before} {after}")
"""
    )
    assert result.returncode == 0, str(result)
    assert "UNTOUCHED" in result.stdout, str(result)
    assert shop.applied("shop") == ["0001_initial"]
    return result.stdout


SHOUT = python("forwards", "backwards")
FUNCTIONS = dedent("""
    def forwards(apps, schema_editor):
        for product in apps.get_model("shop", "Product").objects.all():
            product.name = louder(product.name)
            product.save()

    def backwards(apps, schema_editor):
        for product in apps.get_model("shop", "Product").objects.all():
            product.name = quieter(product.name)
            product.save()
""")
TONES = {
    "shop/tones.py": "from shop.marks import MARK\n\ndef louder(text):\n    return text + MARK\n\n"
    "def quieter(text):\n    return text[:-len(MARK)] + '.'\n",
    "shop/marks.py": "MARK = '!'\n",
}


def test_helper_that_imports_another_helper(shop, left):
    """Both are gone, and both are there when the migration is undone."""
    left(
        "0002_shout", PRICE, SHOUT, header="from shop.tones import louder, quieter\n" + FUNCTIONS, files=TONES
    )
    assert names(shop) == ["Tea!"]

    undo(shop)

    assert names(shop) == ["Tea."]
    assert shop.columns("shop_product") == {"id", "name"}


def test_import_in_a_function(shop, left):
    """A function imports when it is called, and finds what it would have found."""
    header = FUNCTIONS.replace(
        "def backwards(apps, schema_editor):\n",
        "def backwards(apps, schema_editor):\n    from shop.tones import quieter\n",
    ).replace(
        "def forwards(apps, schema_editor):\n",
        "def forwards(apps, schema_editor):\n    import shop.tones\n    louder = shop.tones.louder\n",
    )
    left("0002_shout", SHOUT, header=header, files=TONES)

    undo(shop)

    assert names(shop) == ["Tea."]


def test_other_helper_of_the_same_name(shop, left):
    """On this branch the name stands for something else: the migration sees what it ran with."""
    shop.write(
        "shop/tones.py", "def louder(text):\n    raise NotImplementedError\n\nquieter = louder\nMINE = 1\n"
    )
    left(
        "0002_shout",
        SHOUT,
        header="from shop import tones\nfrom shop.tones import louder, quieter\n" + FUNCTIONS,
        files=TONES,
    )

    undo(shop)

    assert names(shop) == ["Tea."]
    assert "MINE = 1" in shop.read("shop/tones.py")


FIELDS = """
from decimal import Decimal
from django.db import models

class MoneyField(models.DecimalField):
    def __init__(self, *args, currency="EUR", **kwargs):
        self.currency = currency
        super().__init__(*args, **{"max_digits": 9, "decimal_places": 2, "default": Decimal(1), **kwargs})

    def deconstruct(self):
        name, path, args, kwargs = super().deconstruct()
        return name, path, args, {**kwargs, "currency": self.currency}

    def from_db_value(self, value, expression, connection):
        assert isinstance(self, MoneyField), "another MoneyField"
        return value
"""


def test_custom_field_of_two_missing_migrations(shop):
    """The class is the same to both, through several migrations in one run."""
    before = shop.schema()
    with shop.on_branch("feature"):
        shop.write("shop/fields.py", FIELDS)
        shop.migration(
            "shop.0002_price",
            "migrations.AddField('product', 'price', shop.fields.MoneyField(currency='EUR'))",
            after="0001_initial",
            header="import shop.fields",
        )
        shop.migration(
            "shop.0003_price",
            "migrations.AlterField('product', 'price', shop.fields.MoneyField(currency='CHF', max_digits=12))",
            python("migrations.RunPython.noop", "look"),
            after="0002_price",
            header="""
            import shop.fields

            def look(apps, schema_editor):
                field = apps.get_model("shop", "Product")._meta.get_field("price")
                assert isinstance(field, shop.fields.MoneyField), type(field)
                assert field.clone().deconstruct()[3]["currency"] == "CHF"
                assert list(apps.get_model("shop", "Product").objects.values_list("price", flat=True)) == [1]
            """,
        )
        shop.manage("migrate")
        shop.execute("INSERT INTO shop_product (name, price) VALUES ('Tea', 1)")

    undo(shop)

    assert shop.schema() == before


def test_classes_of_a_helper(shop):
    """An operation, a migration to derive from and a manager, which are all gone, work together in one run."""
    before = shop.schema()
    with shop.on_branch("feature"):
        shop.write(
            "shop/base.py",
            """
            from django.db import migrations, models

            class ProductQuerySet(models.QuerySet):
                def teas(self):
                    return self.filter(name__startswith="T")

            class ProductManager(models.Manager.from_queryset(ProductQuerySet)):
                use_in_migrations = True

            class Shout(migrations.RunSQL):
                def __init__(self):
                    super().__init__("UPDATE shop_product SET name = 'TEA'", "UPDATE shop_product SET name = 'Tee'")

            class BaseMigration(migrations.Migration):
                dependencies = [("shop", "0001_initial")]

                def unapply(self, *args, **kwargs):
                    print("Unapplied by the helper")
                    return super().unapply(*args, **kwargs)
            """,
        )
        shop.write(
            "shop/migrations/0002_base.py",
            """
            from shop.base import BaseMigration, ProductManager, Shout, migrations, models

            def look(apps, schema_editor):
                assert apps.get_model("shop", "Product").objects.teas().count() == 1

            class Migration(BaseMigration):
                operations = [
                    migrations.AlterModelManagers("product", [("objects", ProductManager())]),
                    migrations.AddField("product", "price", models.IntegerField(default=1)),
                    migrations.RunPython(look, look),
                    Shout(),
                ]
            """,
        )
        shop.execute("INSERT INTO shop_product (name) VALUES ('Tea')")
        shop.manage("migrate")
    assert names(shop) == ["TEA"]

    assert "Unapplied by the helper" in undo(shop)

    assert names(shop) == ["Tee"]
    assert shop.schema() == before


def test_two_versions_of_a_custom_field(shop):
    """Each migration has the one that it ran with, also where another is here."""
    before = shop.schema()
    shop.write(
        "shop/fields.py", "from django.db import models\n\nclass MoneyField(models.TextField):\n    pass\n"
    )
    with shop.on_branch("feature"):
        shop.write("shop/fields.py", FIELDS)
        shop.migration(
            "shop.0002_price",
            "migrations.AddField('product', 'price', MoneyField(currency='EUR'))",
            after="0001_initial",
            header="from shop.fields import MoneyField",
        )
        shop.manage("migrate")
        shop.write("shop/fields.py", FIELDS.replace('"EUR"', '"USD"').replace("MoneyField", "CashField"))
        shop.migration(
            "shop.0002_price",
            "migrations.AddField('product', 'price', models.IntegerField(default=1))",
            after="0001_initial",
        )
        shop.migration(
            "shop.0003_stock",
            "migrations.AddField('product', 'stock', CashField())",
            after="0002_price",
            header="from shop.fields import CashField\nassert CashField().currency == 'USD'",
        )
        shop.manage("migrate")

    undo(shop)

    assert shop.schema() == before


MODELS = """
    import uuid
    from datetime import date
    from django.db import models
    from shop.paths import folder

    PREFIX = "up"

    def upload_path(instance, name):
        return f"{PREFIX}/{folder()}/{name}"

    def new_code():
        return uuid.UUID(int=7)

    class ProductQuerySet(models.QuerySet):
        def dear(self):
            return self.filter(name__startswith="T")

    class ProductManager(models.Manager):
        use_in_migrations = True

        def dear(self):
            return self.get_queryset().filter(name__startswith="T")

    class Product(models.Model):
        class Kind(models.TextChoices):
            GOOD = "g", "Good"

        name = models.CharField(max_length=50)
        code = models.UUIDField(default=new_code)
        image = models.FileField(upload_to=upload_path, default="")
        kind = models.CharField(max_length=1, default=Kind.GOOD)
        scan = models.FileField(upload_to="x", default="")
        objects = ProductManager()

        @staticmethod
        def scan_path(instance, name):
            return "scans/" + name

    registered = []
    registered.append(Product)
"""


def test_what_migrations_take_from_models(shop):
    """`default=`, `upload_to=`, managers and what hangs on a model, and no model is made again."""
    before = shop.schema()
    with shop.on_branch("feature"):
        shop.models("shop", MODELS)
        shop.write("shop/paths.py", "def folder():\n    return 'a'\n")
        shop.migration(
            "shop.0002_code",
            "migrations.AddField('product', 'code', models.UUIDField(default=shop.models.new_code))",
            "migrations.AddField('product', 'image', models.FileField(upload_to=shop.models.upload_path, default=''))",
            "migrations.AddField('product', 'kind', models.CharField(max_length=1, default=shop.models.Product.Kind['GOOD']))",
            "migrations.AddField('product', 'scan', models.FileField(upload_to=shop.models.Product.scan_path, default=''))",
            "migrations.AlterModelManagers('product', [('objects', shop.models.ProductManager())])",
            after="0001_initial",
            header="import shop.models",
        )
        shop.migration(
            "shop.0003_look",
            add("product", "more", "IntegerField(default=1)"),
            python("migrations.RunPython.noop", "look"),
            after="0002_code",
            header="""
            def look(apps, schema_editor):
                Product = apps.get_model("shop", "Product")
                product = Product.objects.dear().get()
                assert product._meta.get_field("image").generate_filename(product, "n") == "up/a/n"
                assert product._meta.get_field("scan").generate_filename(product, "n") == "scans/n"
                assert Product().code.int == 7 and Product().kind == "g"
            """,
        )
        shop.manage("migrate")
        shop.execute(
            "INSERT INTO shop_product (name, code, image, kind, scan, more) "
            "VALUES ('Tea', '00000000000000000000000000000007', '', 'g', '', 1)"
        )

    undo(shop)

    assert shop.schema() == before


def test_a_model_that_is_gone_is_named_when_it_is_used(shop):
    """There is nothing to take its place: the step is refused as a whole, and says so."""
    with shop.on_branch("feature"):
        shop.models(
            "shop",
            "class Product(models.Model):\n    name = models.CharField(max_length=50)\n\n"
            "class Cart(models.Model):\n    pass\n",
        )
        shop.migration(
            "shop.0002_cart",
            create("Cart"),
            python("migrations.RunPython.noop", "count"),
            after="0001_initial",
            header="from shop.models import Cart\n\ndef count(apps, schema_editor):\n    Cart.objects.count()\n",
        )
        shop.manage("migrate")

    result = shop.attempt("migrate", "shop", "0001")

    assert result.returncode != 0
    assert "shop.models.Cart is not in this checkout" in result.stderr
    assert shop.applied("shop") == ["0001_initial", "0002_cart"]
    assert "shop_cart" in shop.tables()


SQL = python("up", "down")
READ_SQL = """
    from pathlib import Path

    SQL = Path(__file__).parent / "sql"

    def up(apps, schema_editor):
        schema_editor.connection.cursor().execute((SQL / "up.sql").read_text())

    def down(apps, schema_editor):
        schema_editor.connection.cursor().execute((SQL / "down.sql").read_text())
"""


def test_files_beside_the_migration(shop, left, tmp_path_factory, monkeypatch):
    """`__file__` leads to them, in a temporary folder that is removed."""
    temporary = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(temporary))
    left(
        "0002_shout",
        SQL,
        header=READ_SQL,
        files={
            "shop/migrations/sql/up.sql": "UPDATE shop_product SET name = 'TEA'",
            "shop/migrations/sql/down.sql": "UPDATE shop_product SET name = 'tea'",
            "shop/migrations/sql/other.sql": "DROP TABLE shop_product",
        },
    )
    assert not (shop.path / "shop/migrations/sql").exists()

    undo(shop)

    assert names(shop) == ["tea"]
    assert not list(temporary.iterdir())
    assert "with sql/down.sql, sql/up.sql (72 bytes)" in shop.manage("show_stored_migrations", "shop").stdout
    (text,) = [text for name, text in metadata(shop).items() if name == "0002_shout"]
    assert "other.sql" not in text


def metadata(shop: Project) -> dict[str, str]:
    return dict(shop.rows("SELECT migration_name, metadata FROM django_migrations_code"))


def test_whole_app_gone_with_its_helpers(shop):
    """Neither the package nor anything below it can be imported any more."""
    before = shop.schema()
    installed = shop.installed
    with shop.on_branch("feature"):
        shop.app(
            "cart", "from cart.fields import CodeField\n\nclass Line(models.Model):\n    code = CodeField()\n"
        )
        shop.write("cart/__init__.py", "VERSION = 'x'\n")
        shop.write(
            "cart/fields.py",
            "from cart import VERSION\nfrom django.db import models\n\nclass CodeField(models.CharField):\n"
            "    def __init__(self, **kwargs):\n        super().__init__(**{'max_length': 9, **kwargs})\n"
            "        self.version = VERSION\n",
        )
        shop.migration(
            "cart.0001_initial",
            "migrations.CreateModel('Line', [('id', models.AutoField(primary_key=True)), ('code', cart.fields.CodeField())])",
            python("migrations.RunPython.noop", "migrations.RunPython.noop"),
            header="import cart.fields\nfrom cart.models import Line",
        )
        shop.manage("migrate")
    shop.install(*installed)
    assert not (shop.path / "cart").exists()

    shop.manage("rewind", "cart", "zero", "--noinput")

    assert shop.schema() == before


def test_edited_helper_of_a_file_that_stays(shop):
    """The file is the same and does something else by now: what ran is reversed."""
    for path, text in TONES.items():
        shop.write(path, text)
    shop.migration(
        "shop.0002_shout",
        SHOUT,
        after="0001_initial",
        header="from shop.tones import louder, quieter\n" + FUNCTIONS,
    )
    shop.execute("INSERT INTO shop_product (name) VALUES ('Tea')")
    shop.manage("migrate")
    shop.write(
        "shop/tones.py", "def louder(text):\n    return text\n\ndef quieter(text):\n    return 'wrong'\n"
    )

    result = shop.manage("migrate", "shop", "0001")

    assert names(shop) == ["Tea."]
    assert "Loading shop.0002_shout from stored code" in result.stdout


def test_edited_file_with_edited_helper(shop):
    """Both are different now, and both come from the store."""
    for path, text in TONES.items():
        shop.write(path, text)
    header = "from shop.tones import louder, quieter\n" + FUNCTIONS
    shop.migration("shop.0002_shout", PRICE, SHOUT, after="0001_initial", header=header)
    shop.execute("INSERT INTO shop_product (name) VALUES ('Tea')")
    shop.manage("migrate")
    shop.migration("shop.0002_shout", add("product", "cost", "IntegerField(default=1)"), after="0001_initial")
    shop.delete("shop/tones.py")

    shop.manage("migrate", "shop", "0001")

    assert names(shop) == ["Tea."]
    assert shop.columns("shop_product") == {"id", "name"}


def test_comment_in_a_helper_changes_nothing(shop):
    """The helper on disk does the same, so that Django reverses its own file."""
    for path, text in TONES.items():
        shop.write(path, text)
    header = "from shop.tones import louder, quieter\n" + FUNCTIONS
    shop.migration("shop.0002_shout", SHOUT, after="0001_initial", header=header)
    shop.manage("migrate")
    shop.write("shop/tones.py", "# A comment.\n" + TONES["shop/tones.py"])

    result = shop.manage("migrate", "shop", "0001")

    assert "stored code" not in result.output


def test_helper_whose_other_functions_changed(shop):
    """Of a helper only what the migration calls has to be the same."""
    for path, text in TONES.items():
        shop.write(path, text)
    header = "from shop import tones\n" + FUNCTIONS.replace("louder(", "tones.louder(").replace(
        "quieter(", "tones.quieter("
    )
    shop.migration("shop.0002_shout", SHOUT, after="0001_initial", header=header)
    shop.manage("migrate")
    shop.write("shop/tones.py", TONES["shop/tones.py"] + "\ndef new():\n    return 1\n")

    result = shop.manage("migrate", "shop", "0001")

    assert "(from stored code)" not in result.output


def test_package_that_is_no_longer_installed(shop):
    """The error says what was installed then, and what is now."""
    shop.write("site-packages/money/__init__.py", "RATE = 2\n")
    shop.write(
        "site-packages/money_eu-1.4.dist-info/METADATA",
        "Metadata-Version: 2.1\nName: money-eu\nVersion: 1.4\n",
    )
    shop.write("site-packages/money_eu-1.4.dist-info/RECORD", "money/__init__.py,,\n")
    shop.write(".gitignore", "settings.py\n*.sqlite3\nsite-packages\n")
    shop.configure(raw="import sys\nsys.path.append(__file__.rpartition('/')[0] + '/site-packages')")
    with shop.on_branch("feature"):
        shop.migration("shop.0002_price", PRICE, after="0001_initial", header="from money import RATE")
        shop.manage("migrate")
    shop.delete("site-packages")

    result = shop.refused("migrate", "shop", "0001", naming=("shop.0002_price", "money-eu 1.4", "money"))

    assert "Install money-eu==1.4" in result.stderr
    assert "RATE = 2" not in "".join(
        map(str, shop.rows("SELECT metadata, source_code FROM django_migrations_code"))
    )


def test_beyond_the_limit(shop):
    """What is too large is named when it is left out, and again when it is needed."""
    shop.configure(DJANGO_REWIND_SIZE_LIMIT=1000)
    with shop.on_branch("feature"):
        shop.write("shop/rates.py", f"RATES = {'1' * 2000!r}\n")
        shop.write("shop/tones.py", "from shop.rates import RATES\n")
        shop.migration("shop.0002_price", PRICE, after="0001_initial", header="import shop.tones")
        result = shop.manage("migrate")
        assert "shop.rates is not stored with shop.0002_price" in result.stderr
        assert "DJANGO_REWIND_SIZE_LIMIT" in result.stderr

    result = shop.refused(
        "migrate",
        "shop",
        "0001",
        naming=("shop.0002_price", "shop.tones", "shop.rates", "DJANGO_REWIND_SIZE_LIMIT"),
    )

    assert "Bring back shop.rates" in result.stderr


def test_excluded_module(shop):
    """It is not stored, nobody is warned of what they asked for, and the error says why."""
    shop.configure(DJANGO_REWIND_EXCLUDE_MODULES=["shop.secret"])
    with shop.on_branch("feature"):
        shop.write("shop/secret/__init__.py", "")
        shop.write("shop/secret/keys.py", "KEY = 'sesame'\n")
        shop.migration("shop.0002_price", PRICE, after="0001_initial", header="from shop.secret import keys")
        assert "not stored" not in shop.manage("migrate").output

    shop.refused(
        "migrate",
        "shop",
        "0001",
        naming=("shop.0002_price", "shop.secret.keys", "DJANGO_REWIND_EXCLUDE_MODULES"),
    )
    assert not shop.rows(
        "SELECT digest FROM django_migrations_code_content WHERE content = %s", b"KEY = 'sesame'\n"
    )


def test_module_without_source(shop):
    """Only bytecode or a C extension: it cannot be stored, and is named."""
    with shop.on_branch("feature"):
        shop.write("shop/fast.py", "def louder(text):\n    return text\n")
        shop.run("import py_compile; py_compile.compile('shop/fast.py', 'shop/fast.pyc')")
        shop.delete("shop/fast.py")
        shop.migration("shop.0002_price", PRICE, after="0001_initial", header="import shop.fast")
        result = shop.manage("migrate")
        assert "shop.fast is not stored with shop.0002_price" in result.stderr

    shop.refused("migrate", "shop", "0001", naming=("shop.0002_price", "shop.fast", "no source file"))


def test_tampered_helper(shop, left):
    """What goes with a migration is signed with it, and never executed when it was changed."""
    left(
        "0002_shout", PRICE, SHOUT, header="from shop.tones import louder, quieter\n" + FUNCTIONS, files=TONES
    )
    bad = "open('executed', 'w').close()\n" + TONES["shop/tones.py"]
    shop.execute(
        "UPDATE django_migrations_code_content SET content = %s WHERE content = %s",
        bad.encode(),
        TONES["shop/tones.py"].encode(),
    )

    shop.refused(
        "migrate", "shop", "0001", naming=("shop.0002_shout", "shop.tones", "changed after it was signed")
    )

    assert not (shop.path / "executed").exists()
    shop.execute("DELETE FROM django_migrations_code_content")
    shop.refused("rewind", "--noinput", naming=("shop.0002_shout", "shop.tones", "gone from the database"))


def test_same_content_is_stored_once(shop):
    """However many migrations need it."""
    shop.write("shop/tones.py", "TONE = 1\n")
    for number in range(2, 6):
        shop.migration(
            f"shop.000{number}_tone",
            after="0001_initial" if number == 2 else f"000{number - 1}_tone",
            header="from shop.tones import TONE",
        )
    shop.manage("migrate")

    assert len(shop.rows("SELECT id FROM django_migrations_code_content")) == 1


def test_fails_while_it_is_undone(shop, left, tmp_path_factory, monkeypatch):
    """After an error too, nothing of the stored modules is left behind."""
    temporary = tmp_path_factory.mktemp("temporary")
    monkeypatch.setenv("TMPDIR", str(temporary))
    left(
        "0002_shout",
        PRICE,
        python("migrations.RunPython.noop", "fail"),
        header="from shop.tones import louder\n\ndef fail(apps, schema_editor):\n    open(__file__ + 'x')\n"
        "    raise ValueError(louder('no'))\n",
        files={**TONES, "shop/migrations/data.txt": "x"},
    )

    result = shop.run(
        LOOK
        + """
from django.core.management import call_command
from django.db.migrations.loader import MigrationLoader
MigrationLoader(None).load_disk()
before = look()
try:
    call_command("migrate", "shop", "0001", no_color=True)
except Exception as error:
    print("FAILED", type(error).__name__)
print("UNTOUCHED" if before == look() else "CHANGED")
"""
    )

    assert "FAILED FileNotFoundError" in result.stdout, str(result)
    assert "UNTOUCHED" in result.stdout, str(result)
    assert not list(temporary.iterdir())
    assert shop.applied("shop") == ["0001_initial", "0002_shout"]


@pytest.mark.parametrize("import_", ["import gone.far", "from gone.far import away"])
def test_import_in_a_function_that_cannot_succeed(shop, import_):
    """It is known before the first statement, and nothing later is undone for it."""
    shop.configure(DJANGO_REWIND_EXCLUDE_MODULES=["gone"])
    with shop.on_branch("feature"):
        shop.write("gone/far.py", "away = 1\n")
        shop.migration(
            "shop.0002_far",
            python("migrations.RunPython.noop", "backwards"),
            after="0001_initial",
            header=f"""
            def backwards(apps, schema_editor):
                go()

            def go():
                try:
                    import never.was
                except ImportError:
                    pass
                {import_}
            """,
        )
        shop.migration("shop.0003_price", PRICE, after="0002_far")
        shop.manage("migrate")

    shop.refused(
        "migrate", "shop", "0001", naming=("shop.0002_far", "gone.far", "DJANGO_REWIND_EXCLUDE_MODULES")
    )


def test_import_in_a_function_that_is_not_called(shop, left):
    """Going back does not need what only going forward needs."""
    shop.configure(DJANGO_REWIND_EXCLUDE_MODULES=["gone"])
    left(
        "0002_far",
        PRICE,
        python("forwards", "migrations.RunPython.noop"),
        header="""
        def forwards(apps, schema_editor):
            import gone
        """,
        files={"gone.py": ""},
    )

    undo(shop)
