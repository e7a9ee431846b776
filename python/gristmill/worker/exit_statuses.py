"""How a command ends; the same numbers as in the engine. `docs/reference/exit-statuses.md` says when each is given."""

from __future__ import annotations

#: What was asked for was done.
DONE = 0
#: It was not done: nothing matched, something is broken, the database cannot be reached.
NOT_DONE = 1
#: The command line cannot be understood.
USAGE = 2
#: `worker --until-done` left ready jobs that it cannot run.
UNSERVED = 3
#: The worker handed jobs back.
HANDED_BACK = 77
#: The worker refused to start, and would again: settings, database or project have to be mended first.
REFUSED = 78
#: The worker failed itself.
CRASHED = 99
#: Ctrl-C.
INTERRUPTED = 130

#: What a worker's status means, as the end of a sentence.
OF_WORKERS = {
    UNSERVED: "ready jobs are left that it cannot run",
    HANDED_BACK: "it handed jobs back; they run again elsewhere",
    REFUSED: "it refused to start, and said why",
    CRASHED: "it failed itself, and said why",
}
