"""
Mail as jobs: what Django's `send_mail()` and its kin are given is enqueued, and a worker sends it.

    EMAIL_BACKEND = "gristmill.mail.QueuedEmailBackend"

A message is a job of the task `gristmill.mail.deliver`, in the transaction of whoever sends it. docs/guides/mail.md
says how it is retried, and what becomes of what a server refuses.
"""

from gristmill.mail.backend import QueuedEmailBackend

__all__ = ["QueuedEmailBackend"]
