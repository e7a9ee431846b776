"""Signals of Gristmill's own, beside those of Django's tasks."""

from django.dispatch import Signal

#: Sent once in each process that runs tasks, before its first job and outside of any, with `sender=None`. What was made
#: when the project was imported is the same in all of them: a receiver seeds generators of random numbers anew, or
#: opens what must not be shared.
runner_started = Signal()

__all__ = ["runner_started"]
