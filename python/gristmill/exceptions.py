"""What can go wrong, by name: errors of the caller, and the endings of an attempt that no handler raised."""

from django.core.exceptions import ImproperlyConfigured
from django.db.transaction import TransactionManagementError


class TablesMissing(ImproperlyConfigured):
    """The database has no Gristmill tables: `manage.py migrate` has not run there."""


class OutsideTransaction(TransactionManagementError):
    """A transaction is open, but on another database than the queue's, so the job would not be part of it."""


class WaitInTransaction(TransactionManagementError):
    """Someone waits for a job inside a transaction, which may be the one that workers must see committed first."""


class UniqueContention(RuntimeError):
    """A unique key went from job to job while an enqueue wanted it; enqueueing again is likely to succeed."""


class UnknownTask(LookupError):
    """A job names a task that no installed app registers here; its result can be read, but not run."""


class UnknownJob(LookupError):
    """
    A job is to wait for one that the database does not know, or that is on another database.

    Also where it was forgotten: results are kept for `OPTIONS["RETENTION"]`, or the task's own `retention`.
    """


class UnknownSchedule(LookupError):
    """The database knows no schedule of that name; workers announce those of the code as they start."""


class NotDelivered(Exception):
    """
    A queued message could not be handed over, or not to all of its recipients; the cause is in its words.

    It is tried again. What a mail server refuses for good raises `smtplib`'s own exceptions.
    """


class MessageTooLarge(ValueError):
    """A message with its attachments is larger than the arguments of a job may be."""


class GraphCycle(ValueError):
    """The jobs of a graph wait for each other in a circle, so none of them could ever run."""


class AttemptError(Exception):
    """Base of the errors that end an attempt from outside the handler. Never raised, only recorded."""


class RunnerCrashed(AttemptError):
    """The process that ran the job died: a signal, `os._exit`, out of memory."""


class WorkerLost(AttemptError):
    """The worker that ran the job vanished, and another one noticed."""


class Interrupted(AttemptError):
    """The worker had to stop before the job was done."""


class TimedOut(TimeoutError):
    """Raised in a handler that has run longer than its `timeout`. Two seconds later its process is killed."""


class Cancelled(BaseException):
    """
    Raised in a handler whose job someone cancels. Five seconds later its process is killed.

    Not an Exception, so that `except Exception` lets it pass.
    """


class OutOfMemory(MemoryError):
    """Recorded for a job whose process was killed over its `max_memory_mb`. Never raised."""


class TransactionBroken(Exception):
    """
    A transactional handler returned, but its transaction was not whole any more, so its end could not be part of it.

    It ran COMMIT or ROLLBACK itself, or went on after a database error that had already undone the transaction. Never
    tried again by itself: part of what it did may have been kept.
    """


class TransactionLeftOpen(TransactionManagementError):
    """
    A handler returned and left a transaction open, or autocommit off, so what it wrote would have vanished.

    It counts as any other failure: `max_attempts` and `retry_on` say whether it is tried again.
    """
