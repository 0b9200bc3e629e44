"""
Compile the translations in the package, which the wheel takes along.

Run it before building a wheel, and in a checkout to see the pages in other languages.
It needs Babel, of the dependency group `build`.
"""

from __future__ import annotations

from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LOCALE = Path(__file__).parent.parent / "src" / "django_rewind" / "locale"


def main() -> None:
    for written in sorted(LOCALE.glob("*/LC_MESSAGES/django.po")):
        with written.open("rb") as file:
            catalog = read_po(file)
        with written.with_suffix(".mo").open("wb") as file:
            write_mo(file, catalog)
        print(f"Compiled {written.parent.parent.name}: {len(catalog)} texts")


if __name__ == "__main__":
    main()
