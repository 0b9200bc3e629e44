"""Being told to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Terminated(KeyboardInterrupt):
    """The process was told to end, as by `kill` or by what has started its container."""

    returncode = 128 + signal.SIGTERM


@contextmanager
def heeding_termination() -> Iterator[None]:
    """Have SIGTERM stop a run as Ctrl-C does, where nobody has made up their mind about it."""

    def stop(number: int, frame: Any) -> None:
        raise Terminated

    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
