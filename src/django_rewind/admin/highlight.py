"""
Python as HTML, line by line, each part of it with the class of what it is.

It is read by `tokenize`, which executes nothing. Whatever the text is, all of it is
shown, and escaped; what is no Python is shown without classes.
"""

from __future__ import annotations

import io
import keyword
import tokenize
from collections.abc import Iterator

from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

from django_rewind.utils.printable import printable
from django_rewind.utils.syntax import LONGEST_TO_COMPARE

# A part of a line: where it begins and ends, and its class.
_Part = tuple[int, int, str]

_KINDS = {
    tokenize.COMMENT: "comment",
    tokenize.NUMBER: "literal",
    tokenize.STRING: "string",
    # Since Python 3.12 what stands between the replacements of an f-string is a token.
    **{
        getattr(tokenize, name): "string"
        for name in ("FSTRING_START", "FSTRING_MIDDLE", "FSTRING_END")
        if hasattr(tokenize, name)
    },
}

# What tokenize raises at a text that is no Python, in one version or another.
_NO_PYTHON = (tokenize.TokenError, SyntaxError, ValueError, RecursionError, MemoryError, OverflowError)


def lines_of(text: str) -> list[str]:
    """Return the lines of a text as an editor counts them."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def highlighted(text: str) -> list[SafeString]:
    lines = lines_of(text)
    parts: dict[int, list[_Part]] = {}
    # At a null character the tokenizer of Python 3.13 fails in itself.
    if len(text) <= LONGEST_TO_COMPARE and "\0" not in text:
        for number, part in _parts("\n".join(lines) + "\n"):
            parts.setdefault(number, []).append(part)
    return [_line(line, parts.get(number, [])) for number, line in enumerate(lines, start=1)]


def _parts(text: str) -> Iterator[tuple[int, _Part]]:
    before = ""
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            kind = _kind(token, before)
            before = token.string
            if kind:
                yield from _by_line(token, kind)
    except _NO_PYTHON:
        return


def _kind(token: tokenize.TokenInfo, before: str) -> str:
    if token.type != tokenize.NAME:
        return _KINDS.get(token.type, "")
    if keyword.iskeyword(token.string):
        return "keyword"
    return "name" if before in ("class", "def") else ""


def _by_line(token: tokenize.TokenInfo, kind: str) -> Iterator[tuple[int, _Part]]:
    (first, start), (last, end) = token.start, token.end
    for number in range(first, last + 1):
        # A text in three quotes goes on over its lines.
        yield number, (start if number == first else 0, end if number == last else -1, kind)


def _line(line: str, parts: list[_Part]) -> SafeString:
    html: list[str] = []
    position = 0
    for start, end, kind in parts:
        end = len(line) if end < 0 else end
        if start < position or end <= start:
            continue
        html.append(_escaped(line[position:start]))
        html.append(format_html('<span class="rewind-{}">{}</span>', kind, _escaped(line[start:end])))
        position = end
    html.append(_escaped(line[position:]))
    return mark_safe("".join(html))  # noqa: S308 (each part is escaped)


def _escaped(text: str) -> SafeString:
    # No control character, and nothing that has a line read backwards.
    return conditional_escape(printable(text))
