"""Names for the shapes that travel between the modules, and how they are printed."""

from __future__ import annotations

from django_rewind.utils.types import names_of


def test_names_are_listed_as_django_prints_them():
    """With commas between them."""
    assert names_of([("shop", "0001"), ("shop", "0002")]) == "shop.0001, shop.0002"
