"""What an error comes from, where another one was raised over it."""

from __future__ import annotations

from traceback import walk_tb

from django.db.transaction import TransactionManagementError

# Where Django leaves a step: what is raised there hides why it is left.
_LEAVING = ("django.db.transaction", "django.db.backends.")


def root_cause(error: BaseException) -> BaseException:
    """
    Return the error that stopped a step.

    SQLite's schema editor checks all foreign keys when it is left, and raises over what made it
    leave. A transaction that is broken says so of everything that comes later.
    """
    seen: list[BaseException] = []
    while error not in seen:
        seen.append(error)
        error = _before(error) or error
    return error


def _before(error: BaseException) -> BaseException | None:
    """Return the error over which one was raised on the way out."""
    if isinstance(error, TransactionManagementError):
        return error.__cause__ or error.__context__
    if not _was_raised_leaving(error):
        return None
    # Django's own error is raised from the one of the driver.
    return (error.__cause__ or error).__context__


def _was_raised_leaving(error: BaseException) -> bool:
    return any(
        frame.f_code.co_name == "__exit__" and str(frame.f_globals.get("__name__")).startswith(_LEAVING)
        for frame, _ in walk_tb(error.__traceback__)
    )
