"""Whoever can push a branch chooses its texts, its dates and its authors: what was found in Git, and what becomes of it."""

from __future__ import annotations

import json

import pytest

from tests.support.helpers import Project, add, create

pytestmark = [pytest.mark.deep, pytest.mark.once]

GIT = ("backfill_migration_code", "--from-git")
PRICE = add("product", "price", "IntegerField(default=7)")
SIZE = add("product", "size", "IntegerField(null=True)")
# A text that leaves a trace when it is executed, whatever becomes of it.
MARK = "open('executed', 'a').close()"
EVIL = "EVIL = 666\n" + MARK

DATES = ("GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE")


def executed(project: Project) -> bool:
    """Say whether a text with the mark was executed since it was asked last."""
    found = (project.path / "executed").exists()
    (project.path / "executed").unlink(missing_ok=True)
    return found


def apply_unstored(
    project: Project, name: str = "shop.0002_price", *, header: str = MARK, after="0001_initial"
):
    """Apply a migration that is on a branch, without storing it."""
    project.configure(DJANGO_REWIND_ENABLED=False)
    with project.on_branch("feature"):
        project.migration(name, PRICE, after=after, header=header)
        project.manage("migrate")
    project.configure(DJANGO_REWIND_ENABLED=True)
    executed(project)


@pytest.fixture
def reviewed(shop: Project) -> Project:
    """A shop whose main once had the file of 0002, which is applied, not stored, and deleted by now."""
    shop.configure(DJANGO_REWIND_ENABLED=False)
    shop.migration("shop.0002_price", PRICE, after="0001_initial", header=MARK)
    shop.commit("Add a price")
    shop.manage("migrate")
    shop.delete("shop/migrations/0002_price.py")
    shop.commit("Delete it")
    shop.configure(DJANGO_REWIND_ENABLED=True)
    executed(shop)
    return shop


@pytest.fixture
def unreviewed(shop: Project) -> Project:
    """A shop whose 0002 is applied, not stored, and only on another branch."""
    apply_unstored(shop)
    return shop


@pytest.fixture
def attacked(reviewed: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The first of them, with a branch that says to have changed 0002 just before it was applied."""
    ((applied,),) = reviewed.rows("SELECT applied FROM django_migrations WHERE name = '0002_price'")
    for name in DATES:
        monkeypatch.setenv(name, f"{str(applied)[:19]} +0000")
    with reviewed.on_branch("evil"):
        reviewed.migration("shop.0002_price", PRICE, after="0001_initial", header=EVIL)
    for name in DATES:
        monkeypatch.delenv(name)
    return reviewed


# What is found


def test_a_forged_date_has_no_say(attacked):
    """What main had comes first, and the other one is shown with its branch, its author and the difference."""
    result = attacked.manage(*GIT)

    assert "EVIL" not in attacked.stored()["shop.0002_price"]
    assert "by Story <story@example.com> (branch " in result.stdout
    assert "(branch evil), not in the history of what is checked out" in result.stdout
    assert "    | +EVIL = 666" in result.stdout
    assert not executed(attacked)


def test_a_revision_that_is_named(attacked):
    """It is what somebody has chosen, with or without a question."""
    attacked.manage(*GIT, "--revision", "evil", "--noinput")
    assert "EVIL" in attacked.stored()["shop.0002_price"]


@pytest.mark.parametrize("revision", ["nowhere", "-x", "--output=seen", "HEAD:shop", "^HEAD", "a\nb"])
def test_a_revision_that_is_none(reviewed, revision):
    """It is said, nothing is stored, and no option of git's is taken for one."""
    result = reviewed.refused(*GIT, f"--revision={revision}")
    assert "no commit in" in result.stdout
    assert not (reviewed.path / "seen").exists()


def test_options_that_need_another(reviewed):
    """They do nothing without --from-git."""
    for option in (["--revision", "main"], ["--allow-unreachable"]):
        result = reviewed.refused("backfill_migration_code", *option, naming="--from-git")
        assert result.returncode == 2


def test_an_app_after_the_option_is_no_revision(reviewed):
    """`--from-git shop` has always named an app."""
    reviewed.manage(*GIT, "shop")
    assert "shop.0002_price" in reviewed.stored()


# What is stored


def test_what_only_another_branch_has_is_shown_in_full_first(unreviewed):
    """The commit, who has written it, where it is, and the whole text; a no stores nothing."""
    result = unreviewed.refused(*GIT, answer="no", naming="shop.0002_price (you did not agree)")

    commit = unreviewed.git("rev-parse", "feature")[:10]
    assert f"commit {commit} of 20" in result.stdout
    assert "by Story <story@example.com> (branch feature)" in result.stdout
    for line in unreviewed.git("show", "feature:shop/migrations/0002_price.py").splitlines():
        assert f"    | {line}" in result.stdout
    assert "shop.0002_price" not in unreviewed.stored()
    unreviewed.manage(*GIT, answer="yes")
    assert "shop.0002_price" in unreviewed.stored()
    assert not executed(unreviewed)


def test_nobody_to_ask(unreviewed):
    """It is refused by name, and the ways out work."""
    for options in ([], ["--noinput"], ["--format", "json"]):
        unreviewed.refused(*GIT, *options)
    result = unreviewed.refused(
        *GIT, "--noinput", naming=("shop.0002_price", "--revision", "--allow-unreachable")
    )
    assert result.returncode == 1
    document = json.loads(unreviewed.attempt(*GIT, "--format", "json").stdout)["databases"]["default"]
    assert document["stored"] == []
    assert document["not_stored"] == [{"app": "shop", "name": "0002_price", "reason": "nobody was asked"}]
    dry = json.loads(unreviewed.manage(*GIT, "--format", "json", "--plan").stdout)["databases"]["default"]
    assert dry["stored"][0]["git"]["reachable"] is False
    assert dry["stored"][0]["git"]["references"] == ["refs/heads/feature"]

    unreviewed.manage(*GIT, "--noinput", "--allow-unreachable")

    assert "shop.0002_price" in unreviewed.stored()


@pytest.mark.parametrize("kind", ["remote", "tag", "stash", "reflog"])
def test_whatever_else_git_can_reach(unreviewed, kind):
    """Remote branches, tags, stashes and what was thrown away are as good as any branch: not trusted."""
    commit = unreviewed.git("rev-parse", "feature").strip()
    unreviewed.git("branch", "--delete", "--force", "feature")
    if kind == "remote":
        unreviewed.git("update-ref", "refs/remotes/origin/feature", commit)
    elif kind == "tag":
        unreviewed.git("tag", "v1", commit)
    elif kind == "stash":
        unreviewed.git("stash", "store", commit, "--message", "x")
    where = {"remote": "remote branch origin/feature", "tag": "tag v1", "stash": "a stash"}

    result = unreviewed.refused(*GIT, answer="no", naming="shop.0002_price")

    assert f"({where.get(kind, 'in no branch, tag or stash')})" in result.stdout
    unreviewed.refused(*GIT, "--noinput", naming="shop.0002_price")
    unreviewed.manage(*GIT, "--noinput", "--revision", commit)


def test_others_are_stored_all_the_same(reviewed):
    """One that is refused keeps no other from being stored."""
    reviewed.configure(DJANGO_REWIND_ENABLED=False)
    with reviewed.on_branch("feature"):
        reviewed.migration("shop.0003_size", SIZE, after="0001_initial")
        reviewed.manage("migrate", "shop", "0003")
    reviewed.configure(DJANGO_REWIND_ENABLED=True)

    result = reviewed.attempt(*GIT, "--noinput")

    assert result.returncode == 1
    assert "shop.0003_size" in result.stderr
    assert "shop.0002_price" in reviewed.stored()
    assert "shop.0003_size" not in reviewed.stored()


def test_terminals(shop):
    """Folders, authors, branches and texts of others have nothing that a terminal would obey."""
    shop.git("config", "user.name", "A\x1b[2Jx \u202eb")
    apply_unstored(shop, header="# \x1b]0;gone\x07\u202e")
    shop.git("branch", "--move", "feature", "e\u202evil")
    for answer in ("no", "yes"):
        result = shop.attempt(*GIT, answer=answer)
        assert not set(result.output) & set("\x1b\x07\u202e"), repr(result.output)
        assert "\\x1b" in result.output


def test_a_record_that_could_be_a_path(reviewed):
    """It is not found, and nothing else suffers."""
    for name in ("../../../../../etc/passwd", "/etc/passwd", "0002_price\n*", "--all"):
        reviewed.execute(
            "INSERT INTO django_migrations (app, name, applied) VALUES ('shop', %s, '2020-01-01')", name
        )
    result = reviewed.attempt(*GIT, "--noinput")
    assert result.returncode == 1
    assert "Traceback" not in result.output, str(result)
    assert "shop.0002_price" in reviewed.stored()


# What is executed


BARE = pytest.mark.parametrize(
    "args",
    [
        ("rewind", "--noinput", "--allow-data-loss"),
        ("rewind", "shop", "--noinput", "--allow-data-loss"),
        ("rewind", "--noinput", "--allow-data-loss", "--atomic"),
        ("rewind", "--plan"),
        ("rewind", "--redo-modified", "--noinput"),
        ("migrate",),
        ("migrate", "--plan"),
        ("show_stored_migrations",),
        ("check",),
    ],
    ids=" ".join,
)


@BARE
@pytest.mark.parametrize("is_agreed", [True, False])
def test_nothing_executes_it_by_itself(unreviewed, args, is_agreed):
    """It is skipped, and the command that would undo it is named; whatever somebody has agreed to."""
    unreviewed.manage(*GIT, *(() if is_agreed else ["--allow-unreachable"]), answer="yes")
    before = unreviewed.snapshot()

    result = unreviewed.manage(*args)

    assert not (executed(unreviewed) and not (is_agreed and args[0] == "migrate"))
    assert unreviewed.snapshot() == before
    if args[0] == "rewind" and "--redo-modified" not in args:
        assert "Skipped: shop.0002_price" in result.stdout
        assert "manage.py rewind shop 0001_initial" in result.stdout


@pytest.mark.parametrize("is_agreed", [True, False])
def test_what_stands_on_it(unreviewed, is_agreed):
    """What was captured is not undone by itself where that takes what Git had; it is named with the command."""
    unreviewed.manage(*GIT, *(() if is_agreed else ["--allow-unreachable"]), answer="yes")
    with unreviewed.on_branch("feature"):
        unreviewed.migration("shop.0003_size", SIZE, after="0002_price")
        unreviewed.manage("migrate")
    executed(unreviewed)
    unreviewed.refused(
        "rewind", "--noinput", naming=("shop.0002_price", "manage.py rewind shop 0001_initial")
    )
    unreviewed.refused("rewind", answer="yes", naming="shop.0002_price")
    assert not executed(unreviewed)
    unreviewed.manage("rewind", "shop", "0002", answer="yes\nyes")
    assert unreviewed.columns("shop_product") == {"id", "name", "price"}


def test_a_no_executes_nothing(reviewed):
    """All of it is shown before it is loaded, and a no, or nobody, changes nothing."""
    reviewed.manage(*GIT)
    result = reviewed.refused("rewind", "shop", "0001", answer="no", naming="Cancelled")
    assert f"    | {MARK}" in result.stdout
    assert "It was found in Git, in commit" in result.stdout
    reviewed.refused("rewind", "shop", "0001", naming="nobody to ask")
    assert not executed(reviewed)

    reviewed.manage("rewind", "shop", "0001", answer="yes\nyes")

    assert executed(reviewed)
    assert reviewed.columns("shop_product") == {"id", "name"}


@pytest.mark.parametrize(
    "args",
    [
        ("migrate", "shop", "0001"),
        ("migrate", "shop", "zero"),
        ("rewind", "shop", "0001", "--noinput"),
        ("rewind", "shop", "zero", "--noinput", "--allow-data-loss"),
        ("rewind", "shop", "0001", "--sql"),
        ("rewind", "--redo", "shop", "0001", "--noinput"),
    ],
    ids=" ".join,
)
def test_a_name_is_no_consent(reviewed, args):
    """Where nobody is asked, it takes an agreement that somebody has given to all of it before."""
    reviewed.manage(*GIT)
    result = reviewed.refused(*args, naming=("shop.0002_price", "found in Git"))
    assert not executed(reviewed)
    assert "manage.py rewind shop 0001_initial" in result.stderr
    assert "manage.py verify_migrations --sign shop 0002_price" in result.stderr

    result = reviewed.manage("verify_migrations", "--sign", "shop", "0002_price", answer="yes")

    assert f"    | {MARK}" in result.stdout
    assert not executed(reviewed)
    reviewed.manage(*args)
    assert executed(reviewed)


def test_an_option_is_consent(reviewed):
    """For who wants it, where a target is named."""
    reviewed.manage(*GIT)
    reviewed.refused("rewind", "--noinput", "--allow-found-in-git", naming="takes a target")
    assert not executed(reviewed)
    reviewed.manage("rewind", "shop", "0001", "--noinput", "--allow-found-in-git")
    assert reviewed.columns("shop_product") == {"id", "name"}


def test_records_alone(reviewed):
    """To mark it as unapplied executes nothing."""
    reviewed.manage(*GIT)
    reviewed.manage("rewind", "shop", "0001", "--fake", "--noinput")
    assert not executed(reviewed)
    assert reviewed.applied("shop") == ["0001_initial"]


def test_verification(reviewed):
    """It says that nobody has agreed, and tries only what somebody has."""
    reviewed.manage(*GIT)
    result = reviewed.attempt("verify_migrations")
    assert result.returncode == 1
    assert "nobody has agreed to execute it" in result.output
    assert not executed(reviewed)
    reviewed.manage("verify_migrations", "--sign", "shop", "0002_price", answer="yes")
    reviewed.manage("verify_migrations")
    assert executed(reviewed)


def test_an_agreement_that_was_written_into_the_database(reviewed):
    """It is signed with the rest."""
    reviewed.manage(*GIT)
    ((metadata,),) = reviewed.rows(
        "SELECT metadata FROM django_migrations_code WHERE migration_name = '0002_price'"
    )
    for changed in ({"agreed": True}, {"commit": "", "agreed": True}):
        forged = json.dumps({**json.loads(metadata), **changed}, sort_keys=True)
        reviewed.execute(
            "UPDATE django_migrations_code SET metadata = %s WHERE migration_name = '0002_price'", forged
        )
        reviewed.refused("migrate", "shop", "0001", naming="shop.0002_price")
        reviewed.refused("rewind", "shop", "0001", "--noinput", naming="shop.0002_price")
        reviewed.refused("rewind", "shop", "0001", answer="yes\nyes", naming="shop.0002_price")
        assert not executed(reviewed)


def test_forward(unreviewed):
    """A `migrate` is neither blocked by it nor executes it."""
    unreviewed.manage(*GIT, "--allow-unreachable")
    unreviewed.migration("shop.0004_more", create("More", name="TextField()"), after="0001_initial")
    unreviewed.manage("migrate")
    assert not executed(unreviewed)
    assert "shop_more" in unreviewed.tables()
    assert "price" in unreviewed.columns("shop_product")


@pytest.mark.once
def test_auto(unreviewed):
    """The hook undoes what was captured, and names the rest with its command."""
    unreviewed.manage(*GIT, answer="yes")
    unreviewed.configure(INSTALLED_APPS=[*unreviewed.installed])
    with unreviewed.on_branch("other"):
        unreviewed.app("cart")
        unreviewed.write("cart/migrations/0001_initial.py", "")
        unreviewed.migration("cart.0001_initial", create("Line"))
        unreviewed.migration(
            "cart.0002_more", add("line", "more", "IntegerField(null=True)"), after="0001_initial"
        )
        unreviewed.manage("migrate")
    unreviewed.write("cart/__init__.py", "")
    unreviewed.write("cart/models.py", "")
    unreviewed.write("cart/migrations/__init__.py", "")
    unreviewed.migration("cart.0001_initial", create("Line"))
    unreviewed.commit("The cart, without more")
    unreviewed.git("checkout", "--quiet", "other")
    unreviewed.manage("rewind_hook", "install", "--auto", "--timeout", "100")
    executed(unreviewed)

    result = unreviewed.call("git", "checkout", "--quiet", "main")

    assert not executed(unreviewed)
    (line,) = result.stderr.splitlines() or result.stdout.splitlines()
    assert "undone for this checkout: cart.0002_more" in line
    assert "shop.0002_price" in line
    assert "'manage.py rewind shop 0001_initial'" in line
    assert "price" in unreviewed.columns("shop_product")
