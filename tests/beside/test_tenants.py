"""django-tenants: each schema of PostgreSQL is migrated by itself, and has its own store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.beside.conftest import PRICE
from tests.support.helpers import AUDIT_LOG, Project, create

CUSTOMERS = """
from django_tenants.models import DomainMixin, TenantMixin

class Client(TenantMixin):
    name = models.CharField(max_length=50)
    kind = models.CharField(max_length=50, default="seller")

class Domain(DomainMixin):
    pass
"""
PRODUCT = """
class Product(models.Model):
    name = models.CharField(max_length=50)
"""
SHARED = ["django_tenants", "django.contrib.contenttypes", "customers", "django_rewind"]
TENANT = ["django.contrib.contenttypes", "shop", "django_rewind"]
TENANTS = ("east", "west")


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project with two tenants, all of it migrated."""
    project = Project(tmp_path_factory.mktemp("tenants"))
    project.configure(
        SHARED_APPS=SHARED,
        TENANT_APPS=TENANT,
        INSTALLED_APPS=[*SHARED, "shop"],
        TENANT_MODEL="customers.Client",
        TENANT_DOMAIN_MODEL="customers.Domain",
        DATABASE_ROUTERS=["django_tenants.routers.TenantSyncRouter"],
    )
    through_tenants(project)
    project.app("customers", CUSTOMERS)
    project.app("shop", PRODUCT)
    project.migration("shop.0001_initial", create("Product", name="CharField(max_length=50)"))
    project.manage("makemigrations", "customers")
    project.commit()
    project.manage("migrate_schemas", "--shared")
    open_tenants(project, *TENANTS)
    yield project
    project.close()


@pytest.fixture
def tenants(opened, tmp_path) -> Iterator[Project]:
    project = Project.copy_of(opened, tmp_path)
    through_tenants(project)
    yield project
    project.close()


@pytest.fixture
def left(tenants) -> Project:
    """Back on main, with feature's 0002 applied in each tenant."""
    with tenants.on_branch("feature"):
        tenants.migration("shop.0002_price", PRICE, after="0001_initial")
        tenants.manage("migrate_schemas")
    return tenants


def through_tenants(project: Project) -> None:
    engine = {"ENGINE": "django_tenants.postgresql_backend"}
    project.configure(DATABASES={"default": {**project.db().settings, **engine}})


def open_tenants(project: Project, *names: str, mode: str = "DATA") -> None:
    """Save tenants, which makes their schemas and migrates them, or copies that of a template."""
    result = project.run(
        f"""
        from customers.models import Client
        for name in {names!r}:
            client = Client(schema_name=name, name=name)
            client.clone_mode = {mode!r}
            client.save(verbosity=0)
        """
    )
    assert result.returncode == 0, str(result)


def columns(project: Project, schema: str) -> set[str]:
    sql = "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = 'shop_product'"
    return {name for (name,) in project.rows(sql, schema)}


def applied(project: Project, schema: str) -> list[str]:
    sql = f"SELECT name FROM {schema}.django_migrations WHERE app = 'shop' ORDER BY id"
    return [name for (name,) in project.rows(sql)]


def stored(project: Project, schema: str, app: str = "shop") -> list[str]:
    sql = f"SELECT migration_name FROM {schema}.django_migrations_code WHERE app_label = %s ORDER BY 1"
    return [name for (name,) in project.rows(sql, app)]


def everything(project: Project, schema: str) -> object:
    """Return all rows of a schema, but for what the audit log says of refusals."""
    tables = [
        name for (name,) in project.rows("SELECT tablename FROM pg_tables WHERE schemaname = %s", schema)
    ]
    lasting = {name: "WHERE event <> 'refused'" if name == AUDIT_LOG else "" for name in tables}
    return {
        name: sorted(map(repr, project.rows(f'SELECT * FROM {schema}."{name}" {where}')))
        for name, where in lasting.items()
    }


def test_each_schema_stores_its_own(tenants):
    """The public one the shared apps', from the first run on, and each tenant its apps'."""
    ours = stored(tenants, "public", "django_rewind")
    assert ours[0] == "0001_initial"
    assert stored(tenants, "public", "customers") == ["0001_initial"]
    for schema in TENANTS:
        assert stored(tenants, schema) == ["0001_initial"]
        assert stored(tenants, schema, "django_rewind") == ours
        # What the router keeps out of a schema is recorded there as everywhere.
        assert applied(tenants, schema) == ["0001_initial"]


def test_all_schemas_are_taken_back(left):
    """By migrate_schemas, from what each of them has stored."""
    assert all(columns(left, schema) == {"id", "name", "price"} for schema in TENANTS)

    result = left.manage("migrate_schemas", "shop", "0001")

    assert result.stdout.count("Unapplying shop.0002_price (from stored code)... OK") == len(
        ("public", *TENANTS)
    )
    for schema in TENANTS:
        assert columns(left, schema) == {"id", "name"}
        assert applied(left, schema) == ["0001_initial"]


def test_one_schema_is_taken_back(left):
    """The other tenant and the public schema stay to the letter what they are."""
    before = {schema: everything(left, schema) for schema in ("public", "west")}

    left.manage("migrate_schemas", "--schema", "east", "shop", "0001")

    assert columns(left, "east") == {"id", "name"}
    assert {schema: everything(left, schema) for schema in ("public", "west")} == before


def test_in_parallel(left):
    """Each schema in a process of its own; with the lock of `migrate` they wait for each other."""
    left.configure(DJANGO_REWIND_LOCK_MIGRATE=20)

    left.manage("migrate_schemas", "--executor", "multiprocessing", "shop", "0001")

    assert all(applied(left, schema) == ["0001_initial"] for schema in TENANTS)
    assert all(columns(left, schema) == {"id", "name"} for schema in TENANTS)


def test_in_other_processes(tenants):
    """What the subprocess executor applies is stored in each schema; it hands no target on, with us or without."""
    with tenants.on_branch("feature"):
        tenants.migration("shop.0002_price", PRICE, after="0001_initial")
        tenants.manage("migrate_schemas", "--executor", "subprocess")

    assert all(stored(tenants, schema) == ["0001_initial", "0002_price"] for schema in TENANTS)
    tenants.manage("migrate_schemas", "shop", "0001")
    assert all(columns(tenants, schema) == {"id", "name"} for schema in TENANTS)


def test_commands_for_one_schema(left):
    """tenant_command runs ours there, and nowhere else."""
    before = {schema: everything(left, schema) for schema in ("public", "west")}

    shown = left.manage("tenant_command", "show_stored_migrations", "--schema", "east", "--missing")
    checked = left.attempt("tenant_command", "rewind", "--schema", "east", "--check")
    left.manage("tenant_command", "rewind", "--schema", "east", "--noinput")

    assert "0002_price" in shown.stdout
    assert checked.returncode == 1
    assert applied(left, "east") == ["0001_initial"]
    assert columns(left, "east") == {"id", "name"}
    assert {schema: everything(left, schema) for schema in ("public", "west")} == before
    assert left.attempt("tenant_command", "rewind", "--schema", "east", "--check").returncode == 0


def test_one_schema_becomes_what_main_expects(left):
    """What `rewind --migrate` applies it applies in its own schema, whatever `migrate` does elsewhere."""
    left.migration("shop.0002_cart", create("Cart"), after="0001_initial")
    before = {schema: everything(left, schema) for schema in ("public", "west")}

    left.manage("tenant_command", "rewind", "--schema", "east", "--migrate", "--noinput")

    assert applied(left, "east") == ["0001_initial", "0002_cart"]
    assert stored(left, "east") == ["0001_initial", "0002_cart", "0002_price"]
    assert {schema: everything(left, schema) for schema in ("public", "west")} == before


def test_one_schema_adopts(left):
    """After a rebase what comes first is applied there, and what was renamed is adopted there."""
    left.migration("shop.0002_cart", create("Cart"), after="0001_initial")
    left.migration("shop.0003_price", PRICE, after="0002_cart")
    before = {schema: everything(left, schema) for schema in ("public", "west")}

    left.manage("tenant_command", "rewind", "--schema", "east", "--adopt", "--migrate", "--noinput")

    assert sorted(applied(left, "east")) == ["0001_initial", "0002_cart", "0003_price"]
    assert columns(left, "east") == {"id", "name", "price"}
    assert {schema: everything(left, schema) for schema in ("public", "west")} == before


def test_commands_for_all_schemas(left):
    """all_tenants_command rewinds one after the other."""
    left.manage("all_tenants_command", "rewind", "--noinput")

    assert all(columns(left, schema) == {"id", "name"} for schema in TENANTS)


def test_what_a_tenant_has_not_stored_is_not_taken_from_the_public_schema(left):
    """The public schema has it stored: that is not what ran in the tenant."""
    assert stored(left, "public") == ["0001_initial", "0002_price"]
    left.execute("DELETE FROM east.django_migrations_code WHERE migration_name = '0002_price'")
    before = everything(left, "east")

    result = left.attempt("migrate_schemas", "--schema", "east", "shop", "0001")

    assert result.returncode != 0
    assert "shop.0002_price" in result.stderr
    assert everything(left, "east") == before


def test_tenant_without_our_tables(tenants):
    """Nothing is stored in the public schema instead; made up for, the tenant has what is on disk."""
    tenants.manage("migrate_schemas", "--schema", "east", "django_rewind", "zero")
    before = everything(tenants, "public")
    tenants.migration("shop.0002_price", PRICE, after="0001_initial")

    tenants.manage("migrate_schemas", "--schema", "east", "shop")

    assert columns(tenants, "east") == {"id", "name", "price"}
    assert everything(tenants, "public") == before
    tenants.manage("migrate_schemas", "--schema", "east")
    assert stored(tenants, "east") == ["0001_initial", "0002_price"]


def test_new_tenant_beside_what_feature_has_left(left):
    """It is made by what is on disk, and captures from its first migration on."""
    open_tenants(left, "north")

    assert applied(left, "north") == ["0001_initial"]
    assert stored(left, "north") == ["0001_initial"]
    assert columns(left, "north") == {"id", "name"}
    assert left.attempt("tenant_command", "rewind", "--schema", "north", "--check").returncode == 0


@pytest.mark.parametrize("mode", ["DATA", "NODATA"])
def test_tenant_that_is_a_copy_of_another(tenants, mode):
    """With the rows of its template or recorded as if it had run, it takes itself back, and itself alone."""
    tenants.configure(TENANT_BASE_SCHEMA="east")
    with tenants.on_branch("feature"):
        tenants.migration("shop.0002_price", PRICE, after="0001_initial")
        tenants.manage("migrate_schemas")
        open_tenants(tenants, "north", mode=mode)
    assert columns(tenants, "north") == {"id", "name", "price"}
    before = {schema: everything(tenants, schema) for schema in ("public", *TENANTS)}

    tenants.manage("migrate_schemas", "--schema", "north", "shop", "0001")

    assert applied(tenants, "north") == ["0001_initial"]
    assert columns(tenants, "north") == {"id", "name"}
    assert {schema: everything(tenants, schema) for schema in ("public", *TENANTS)} == before


def test_tenants_of_several_types(tenants):
    """Each type names its apps, us among them; all that have the app are taken back."""
    tenants.configure(
        HAS_MULTI_TYPE_TENANTS=True,
        MULTI_TYPE_DATABASE_FIELD="kind",
        TENANT_TYPES={
            "public": {"APPS": SHARED, "URLCONF": "urls"},
            "seller": {"APPS": TENANT, "URLCONF": "urls"},
            "guest": {"APPS": [one for one in TENANT if one != "shop"], "URLCONF": "urls"},
        },
    )
    tenants.execute("UPDATE customers_client SET kind = 'guest' WHERE schema_name = 'west'")
    with tenants.on_branch("feature"):
        tenants.migration("shop.0002_price", PRICE, after="0001_initial")
        tenants.manage("migrate_schemas")
    assert columns(tenants, "east") == {"id", "name", "price"}
    assert columns(tenants, "west") == {"id", "name"}

    tenants.manage("migrate_schemas", "shop", "0001")

    assert columns(tenants, "east") == columns(tenants, "west") == {"id", "name"}
    assert all(applied(tenants, schema) == ["0001_initial"] for schema in TENANTS)


def test_kept_out_of_the_tenants(tenants):
    """Listed among the shared apps alone, we store nothing for a tenant; the check says so, and going back is refused."""
    tenants.configure(TENANT_APPS=TENANT[:2])
    open_tenants(tenants, "north")
    with tenants.on_branch("feature"):
        tenants.migration("shop.0002_price", PRICE, after="0001_initial")
        tenants.manage("migrate_schemas", "--schema", "north")

    checked = tenants.manage("tenant_command", "check", "--schema", "north", "--database", "default")
    result = tenants.attempt("migrate_schemas", "--schema", "north", "shop", "0001")

    assert "django_rewind.W001" in checked.stderr
    assert result.returncode != 0, str(result)
    assert "shop.0002_price" in result.stderr
    assert applied(tenants, "north") == ["0001_initial", "0002_price"]
