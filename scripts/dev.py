"""`make dev`: the example site, its admin with demo data, and a live worker, until Ctrl-C or until one of them ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import environments
import steps
from demo import SITE, hold_files

PORT = os.environ.get("PORT", "8000")
#: What there is to see, by its page in the admin.
PAGES = (
    ("what is wrong", "gristmill/overview/"),
    ("running, with progress", "gristmill/job/?q=state%3Arunning"),
    ("failures by cause", "gristmill/failures/"),
    ("stranded, with its graph", "gristmill/job/?q=state%3Astranded"),
    ("a paused queue", "gristmill/queues/"),
    ("a late schedule", "gristmill/schedules/"),
    ("who works", "gristmill/worker/"),
)
# Nobody serves the archive, so that its schedule is late; what runs when it ends is handed back at once.
WORKER = ("--processes", "2", "--exclude-queue", "archive", "--grace", "2")


def main() -> int:
    steps.stop_on_signals()
    children: dict[str, subprocess.Popen[bytes]] = {}
    try:
        python = environments.pair("best") / "python"
        hold_files()
        manage = [str(python), "manage.py"]
        for command in (["prepare_site", "--superuser"], ["demo_data"]):
            subprocess.run([*manage, *command], cwd=SITE, check=True)
        tell()
        # A session each, so that Ctrl-C reaches them once: from here.
        for name, command in (
            ("the site", ["runserver", f"127.0.0.1:{PORT}"]),
            ("the worker", ["gristmill", "worker", *WORKER]),
        ):
            children[name] = subprocess.Popen([*manage, *command], cwd=SITE, start_new_session=True)
        return watch(children)
    except steps.StepFailed:
        return 1
    except subprocess.CalledProcessError as error:
        return int(error.returncode)
    except KeyboardInterrupt:
        steps.say()
        return 0
    finally:
        stop_all(children)


def tell() -> None:
    """Says where to look, and as whom."""
    site = f"http://127.0.0.1:{PORT}"
    steps.say(f"\n  {'the site':<26} {site}/\n  {'its admin':<26} {site}/admin/   user demo, password demo")
    for what, page in PAGES:
        steps.say(f"  {what:<26} {site}/admin/{page}")
    steps.say("\n  Nobody but this machine is answered. Ctrl-C stops the site and its worker.\n")


def watch(children: dict[str, subprocess.Popen[bytes]]) -> int:
    """Waits for the first of them to end, which it should not."""
    while True:
        for name, process in children.items():
            if process.poll() is not None:
                steps.say(f"\n{name} has ended with status {process.returncode}; stopping the rest.")
                return 1
        time.sleep(0.2)


def stop_all(children: dict[str, subprocess.Popen[bytes]]) -> None:
    """The worker drains first; runserver's reloader and its child go together, by their group."""
    for name, process in reversed(children.items()):
        if process.poll() is None:
            target = process.pid if name == "the worker" else -process.pid
            os.kill(target, signal.SIGTERM)
    for process in children.values():
        if not steps.wait_for_exit(process, seconds=30):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


if __name__ == "__main__":
    sys.exit(main())
