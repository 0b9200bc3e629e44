"""
Start the processes of the stories by forking one that has imported Django already.

Importing is most of what a short manage.py does, and tearing the interpreter down is most of the rest. So with
REWIND_FORK=1, as in all that CI runs, one process for each worker of pytest imports Django, the driver and what
of ours needs no settings, and forks for each command: what runs in the child is manage.py in a process of its own,
with its own directory, environment and streams, up to its last handlers.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

#: What `migrate` imports in a project with no apps but ours.
AHEAD = [
    "django.core.cache.backends.locmem",
    "django.core.mail",
    "django.core.management.commands.makemigrations",
    "django.core.management.commands.migrate",
    "django.core.serializers.json",
    "django.db.backends.sqlite3.base",
    "django.db.models.sql.compiler",
    "django.middleware.csrf",
    "django.template.defaultfilters",
    "django.template.response",
    "django.urls",
    "django.utils.translation.reloader",
    "django.views.csrf",
    "django.views.debug",
    "importlib.metadata",
    "logging.config",
    "platform",
]

#: The backends, as far as their drivers are installed.
BACKENDS = ["django.db.backends.mysql.base", "django.db.backends.postgresql.base"]

#: Ours, with all that they import: what does not touch a model or a setting.
OURS = [
    "django_rewind.apps",
    "django_rewind.backends",
    "django_rewind.backends.fields",
    "django_rewind.backends.sqlite",
    "django_rewind.checks",
    "django_rewind.engine.hooks",
    "django_rewind.engine.plan",
    "django_rewind.engine.recovery",
    "django_rewind.engine.rows",
    "django_rewind.exceptions",
    "django_rewind.git.environment",
    "django_rewind.git.head",
    "django_rewind.git.repository",
    "django_rewind.inventory.loader",
    "django_rewind.inventory.snapshot",
    "django_rewind.management.reporting",
    "django_rewind.management.rewind_text",
    "django_rewind.schema.blueprint",
    "django_rewind.schema.demands",
    "django_rewind.schema.effects",
    "django_rewind.schema.rebuilds",
    "django_rewind.signals",
    "django_rewind.sources.as_applied",
    "django_rewind.sources.bundle.changes",
    "django_rewind.sources.bundle.collector",
    "django_rewind.sources.bundle.importer",
    "django_rewind.sources.compare",
    "django_rewind.sources.description",
    "django_rewind.sources.missing_apps",
    "django_rewind.sources.recovered",
    "django_rewind.sources.static",
    "django_rewind.sources.stored",
]

#: Bytes of a number on the wire: the length of an order, or what is answered.
SIZE = 8

#: What is answered of a process that is still running; no exit status is as small.
RUNS = -1_000


class Zygote:
    """The side of the tests."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, __file__, str(theirs.fileno())]
            # Bytecode is an affair of the interpreter: children cannot be told by their environment. A
            # copy of a project whose settings are rewritten within the second would meet the old ones.
            environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
            # What would read a setting ahead of its time fails.
            environ.pop("DJANGO_SETTINGS_MODULE", None)
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environ)
        atexit.register(self.close)

    def run(
        self, args: list[str], *, cwd: str, env: dict[str, str], stdin: int
    ) -> subprocess.CompletedProcess[str]:
        """Run Python as `subprocess.run` does, with captured text."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            code = self.start(args, cwd=cwd, env=env, stdin=stdin, stdout=out, stderr=err).wait()
            return subprocess.CompletedProcess(args, code, _text(out), _text(err))

    def start(
        self, args: list[str], *, cwd: str, env: dict[str, str], stdin: int, stdout: Any, stderr: Any
    ) -> Child:
        """Start Python with these arguments, the name of a script first, or `-c` and a program."""
        text = json.dumps({"args": args, "cwd": cwd, "env": env}).encode()
        with Path(os.devnull).open() as null:
            streams = [
                null.fileno() if stdin == subprocess.DEVNULL else stdin,
                stdout.fileno(),
                stderr.fileno(),
            ]
            self._send(len(text), text)
            socket.send_fds(self._socket, [b"-"], streams)
            return Child(self, self._answer())

    def status(self, pid: int, *, wait: bool) -> int:
        """Return the exit status of a child, or RUNS; once it has been told, it is forgotten."""
        # What has no length is no order to start something.
        self._send(0, _bytes(pid) + _bytes(wait))
        return self._answer()

    def _send(self, length: int, rest: bytes) -> None:
        self._socket.sendall(_bytes(length) + rest)

    def _answer(self) -> int:
        return _number(self._socket)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


class Child:
    """A process that was forked, with what the stories need of `subprocess.Popen`."""

    def __init__(self, zygote: Zygote, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._zygote = zygote

    def poll(self) -> int | None:
        return self._look(wait=False)

    def wait(self, timeout: float | None = None) -> int:
        """
        Wait for its end, seconds at most.

        Raises:
            subprocess.TimeoutExpired: it has not come by then.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self._look(wait=until is None)) is None:
            if until is not None and time.monotonic() > until:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            time.sleep(0.01)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _look(self, *, wait: bool) -> int | None:
        if self.returncode is None:
            code = self._zygote.status(self.pid, wait=wait)
            self.returncode = None if code == RUNS else code
        return self.returncode


def zygote() -> Zygote | None:
    """Return the one of this process, or None where it is not asked for."""
    return _zygote() if os.environ.get("REWIND_FORK", "0") != "0" else None


@cache
def _zygote() -> Zygote:
    return Zygote()


def _text(stream: Any) -> str:
    stream.seek(0)
    return str(stream.read().decode("utf-8", "replace"))


def _bytes(number: int) -> bytes:
    return int(number).to_bytes(SIZE, "big", signed=True)


def _number(connection: socket.socket) -> int:
    return int.from_bytes(_receive(connection, SIZE), "big", signed=True)


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
            length = _number(connection)
        except EOFError:
            os._exit(0)
        if not length:
            connection.sendall(_bytes(_status(_number(connection), wait=bool(_number(connection)))))
            continue
        order = json.loads(_receive(connection, length))
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
        connection.sendall(_bytes(child))


def _status(pid: int, *, wait: bool) -> int:
    ended, status = os.waitpid(pid, 0 if wait else os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else RUNS


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


def leave(code: Any) -> None:
    """Do what Python does on `sys.exit`, but for freeing all that it holds, which the kernel does at once."""
    if code is not None and not isinstance(code, int):
        sys.stderr.write(f"{code}\n")
        code = 1
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def import_ahead() -> None:
    for name in AHEAD + OURS:
        importlib.import_module(name)
    for name in BACKENDS:
        # ImproperlyConfigured where there is no driver.
        with suppress(Exception):
            importlib.import_module(name)
    gc.freeze()


if __name__ == "__main__":
    import_ahead()
    order = serve(socket.socket(fileno=int(sys.argv[1])))
    try:
        become(**order)
    except SystemExit as end:
        leave(end.code)
    leave(0)
