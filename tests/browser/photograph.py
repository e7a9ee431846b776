"""
Makes the pictures of the documentation: the photo site's admin on a day when not all goes well.

Everything is real but two things: what happened is put back by minutes, and paths of this machine are told as those of
a server. Run by `make pictures`, in an environment with Gristmill.
"""

from __future__ import annotations

import os
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "examples" / "django_site"
PICTURES = ROOT / "docs" / "pictures"
MOST_BYTES = 120 * 1024
WIDTH = 1160
PHOTOS, TORN = 24, (9, 17)
WORKER = ("--processes", "4", "--label", "darkroom", "--exclude-queue", "archive")
WITHIN = 15.0
sys.path[:0] = [str(SITE), *(str(ROOT / folder) for folder in ("tests/browser", "tests/journeys", "scripts", "python"))]

import browsers  # noqa: E402
from chromium import Chromium  # noqa: E402
from everything import address_of  # noqa: E402
from PIL import Image  # noqa: E402
from serving import Served, Worker, session_of  # noqa: E402
from tab import Tab  # noqa: E402
from waiting import wait_for  # noqa: E402


def main() -> None:
    program = browsers.chromium()
    if program is None:
        raise SystemExit(f"There is no chromium. {browsers.ADVICE}.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ.update(SITE_VAR=name, SITE_DEBUG="0", DATABASE_URL="", DJANGO_SETTINGS_MODULE="django_site.settings")
        import django

        django.setup()
        torn = a_morning(folder)
        tell_as_of_a_server(folder)
        served, browser = Served(), Chromium(program, folder)
        worker = Worker(SITE, folder / "worker.log", *WORKER)
        try:
            worker.start()
            photograph(
                Tab(browser, served.url),
                {
                    "overview": ("/admin/gristmill/overview/", 1250),
                    "failures": ("/admin/gristmill/failures/", 670),
                    "job": (torn, 1640),
                },
            )
        finally:
            worker.stop()
            browser.close()
            served.stop()


def a_morning(folder: Path) -> str:
    """Photos, some of them torn, and the demo data of the office; gives the address of a job that failed."""
    from django.core.management import call_command
    from office import day
    from photos import tasks
    from photos.management.commands.demo import torn_picture, whole_picture
    from photos.models import PhotoJob

    call_command("prepare_site", superuser=True, verbosity=0)
    whole, torn = whole_picture(), torn_picture()
    for number in range(1, PHOTOS + 1):
        tasks.add_photo(f"{number}.jpg", torn if number in TORN else whole, f"Photo {number}")
    tasks.ask_for_sheet("you@example.com")
    day.make(print)
    return address_of(PhotoJob.objects.get(photo_id=TORN[0], makes="develop").job_id.hex)


def tell_as_of_a_server(folder: Path) -> None:
    """Puts what happened back, one job after the other, and gives a server's paths to what failed."""
    from django.db.models import DateTimeField
    from django.utils.timezone import now

    from gristmill.models import Attempt, JobRow, Queue, ResultRow, Schedule, Worker

    # The longer ones first, as they contain others.
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    paths = {
        f"{sys.prefix}/lib/{python}": f"/srv/photos/venv/lib/{python}",
        f"{sys.base_prefix}/lib/{python}": f"/usr/lib/{python}",
        str(SITE): "/srv/photos",
        str(folder): "/srv/photos/var",
    }
    ids = list(JobRow.objects.order_by("pk").values_list("pk", flat=True))
    back = {job_id: timedelta(minutes=40) * (1 - number / len(ids)) for number, job_id in enumerate(ids)}
    for model, key in ((JobRow, "id"), (ResultRow, "id"), (Attempt, "job_id"), (Worker, None)):
        for row in model.objects.all():
            for field in model._meta.fields:
                value = getattr(row, field.attname)
                if isinstance(field, DateTimeField) and value is not None and value.year < 9999:
                    setattr(row, field.attname, value - (back[getattr(row, key)] if key else timedelta(minutes=41)))
                elif isinstance(value, str):
                    for here, there in paths.items():
                        value = value.replace(here, there)
                    setattr(row, field.attname, value)
            row.save(force_update=True)
    Queue.objects.update(paused_at=now() - timedelta(minutes=12))
    Schedule.objects.exclude(paused_at=None).update(paused_at=now() - timedelta(days=9))


def photograph(tab: Tab, pages: dict[str, tuple[str, int]]) -> None:
    """Keeps each page's picture, in few colours."""
    from gristmill.models import Job, Worker

    Worker.objects.update(host="photos-1")
    running = Job.objects.filter(state="running")
    wait_for(
        "imports to be under way", lambda: any(job.progress and job.progress.done for job in running.all()), WITHIN
    )
    tab.ask("Network.setCookie", name="sessionid", value=session_of("demo"), url=tab.site)
    PICTURES.mkdir(exist_ok=True)
    for name, (address, height) in pages.items():
        tab.look_like((WIDTH, height))
        tab.open(address)
        # The list of the site's models takes room that a picture does not have.
        tab.run("() => localStorage.setItem('django.admin.navSidebarIsOpen', 'false')")
        tab.open(address)
        for place in (str(ROOT), sys.prefix, sys.base_prefix, tempfile.gettempdir()):
            assert place not in tab.text, f"a path of this machine stands on {address}: {place}"
        path = PICTURES / f"{name}.png"
        tab.photograph(path, whole=False)
        with Image.open(path) as picture:
            picture.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)
        assert path.stat().st_size <= MOST_BYTES, f"{path.name} has {path.stat().st_size:,} bytes"
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
