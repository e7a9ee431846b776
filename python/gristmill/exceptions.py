"""What can go wrong, by name: errors of the caller, and the endings of an attempt that no handler raised."""

from django.core.exceptions import ImproperlyConfigured
from django.db.transaction import TransactionManagementError


class TablesMissing(ImproperlyConfigured):
    """The database has no Gristmill tables: `manage.py migrate` has not run there."""


class OutsideTransaction(TransactionManagementError):
    """A transaction is open, but on another database than the queue's, so the job would not be part of it."""


class UniqueContention(RuntimeError):
    """A unique key went from job to job while an enqueue wanted it; enqueueing again is likely to succeed."""


class UnknownTask(LookupError):
    """A job names a task that no installed app registers here; its result can be read, but not run."""


class AttemptError(Exception):
    """Base of the errors that end an attempt from outside the handler. Never raised, only recorded."""


class RunnerCrashed(AttemptError):
    """The process that ran the job died: a signal, `os._exit`, out of memory."""


class WorkerLost(AttemptError):
    """The worker that ran the job vanished, and another one noticed."""


class Interrupted(AttemptError):
    """The worker had to stop before the job was done."""
