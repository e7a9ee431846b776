"""Makes the task of queued messages known: workers import this module with those of the project."""

from gristmill.mail.delivery import make_known

make_known()
