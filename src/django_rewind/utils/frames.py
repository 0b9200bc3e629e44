"""What the functions that are running know: the last resort where Django hands a fact to nobody."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

_Answer = TypeVar("_Answer")


def ask_callers(ask: Callable[[Mapping[str, Any]], _Answer | None]) -> _Answer | None:
    """Return the first answer that the local names of a caller give, from the innermost caller outwards."""
    # Not of whoever asks: a frame that is asked for its own names keeps itself alive, and all above it.
    frame = sys._getframe(1).f_back
    while frame is not None:
        answer = ask(frame.f_locals)
        if answer is not None:
            return answer
        frame = frame.f_back
    return None
