"""
Start the processes of the stories by forking one that has imported Django already.

Importing Django is most of what a short manage.py does. So with REWIND_FORK=1, as in the wider matrix, one
process for each worker of pytest imports it, nothing of ours and no settings, and forks for each command: what
runs in the child is manage.py in a process of its own, with its own directory, environment and streams.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

#: What `migrate` imports in a project with no apps but ours.
AHEAD = [
    "django.core.mail",
    "django.core.management.commands.makemigrations",
    "django.core.management.commands.migrate",
    "django.core.serializers.json",
    "django.db.backends.sqlite3.base",
    "django.db.models.sql.compiler",
    "django.template.defaultfilters",
    "django.template.response",
    "django.urls",
    "django.views.csrf",
    "django.views.debug",
    "logging.config",
]

#: Bytes of the length before an order, and of an exit status.
SIZE = 4


class Zygote:
    """The side of the tests; `run` answers as `subprocess.run` does with captured text."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, __file__, str(theirs.fileno())]
            # Bytecode is an affair of the interpreter: children cannot be told by their environment. A
            # copy of a project whose settings are rewritten within the second would meet the old ones.
            environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environ)
        atexit.register(self.close)

    def run(
        self, args: list[str], *, cwd: str, env: dict[str, str], stdin: int
    ) -> subprocess.CompletedProcess[str]:
        """Run Python with these arguments, the name of a script first, or `-c` and a program."""
        with (
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
            Path(os.devnull).open() as null,
        ):
            streams = [null if stdin == subprocess.DEVNULL else stdin, out, err]
            self._order({"args": args, "cwd": cwd, "env": env}, streams)
            code = int.from_bytes(_receive(self._socket, SIZE), "big", signed=True)
            return subprocess.CompletedProcess(args, code, _text(out), _text(err))

    def _order(self, order: dict[str, Any], streams: list[Any]) -> None:
        text = json.dumps(order).encode()
        self._socket.sendall(len(text).to_bytes(SIZE, "big") + text)
        numbers = [stream if isinstance(stream, int) else stream.fileno() for stream in streams]
        socket.send_fds(self._socket, [b"-"], numbers)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


@cache
def zygote() -> Zygote | None:
    """Return the one of this process, or None where it is not asked for."""
    return Zygote() if os.environ.get("REWIND_FORK") == "1" else None


def _text(stream: Any) -> str:
    stream.seek(0)
    return str(stream.read().decode("utf-8", "replace"))


def _receive(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        chunk = connection.recv(size - len(received))
        if not chunk:
            raise EOFError
        received += chunk
    return received


def serve(connection: socket.socket) -> dict[str, Any]:
    """Fork for each order until the tests hang up; return in the child alone, with the order."""
    while True:
        try:
            size = int.from_bytes(_receive(connection, SIZE), "big")
            order = json.loads(_receive(connection, size))
        except EOFError:
            os._exit(0)
        streams = socket.recv_fds(connection, 1, 3)[1]
        child = os.fork()
        if not child:
            connection.close()
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            return dict(order)
        for stream in streams:
            os.close(stream)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        connection.sendall(code.to_bytes(SIZE, "big", signed=True))


def become(args: list[str], cwd: str, env: dict[str, str]) -> None:
    """Do what Python would do that is started with these."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    ours = env.get("PYTHONPATH", "").split(os.pathsep)
    # Without the folder of this module, which Python has put first.
    sys.path[:] = [*filter(None, ours), *sys.path[1:]]
    if args[0] == "-c":
        sys.argv = ["-c", *args[2:]]
        exec(compile(args[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = args
        runpy.run_path(args[0], run_name="__main__")


if __name__ == "__main__":
    for name in AHEAD:
        importlib.import_module(name)
    gc.freeze()
    become(**serve(socket.socket(fileno=int(sys.argv[1]))))
