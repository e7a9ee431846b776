"""`manage.py demo FOLDER`: a fresh site, a folder of pictures, a sheet that waits for them, and a real worker."""

from __future__ import annotations

import io
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from PIL import Image

from gristmill import operations
from gristmill.models import Job
from photos import folder, tasks, telling
from photos.models import ContactSheet, Photo
from photos.progress import FINISHED, STRANDED, cards
from photos.telling import short

TORN = "A torn picture"
ADDRESS = "you@example.com"
# No job of this demo takes longer than a second or two.
PATIENCE_SECONDS = 60.0


class Command(BaseCommand):
    """The whole of Gristmill in one sitting."""

    help = "Starts the site afresh, loads a folder of pictures, and makes a contact sheet of them with a real worker."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", type=Path)
        parser.add_argument("--processes", type=int, default=2)

    def handle(self, *, folder: Path, processes: int, **options: object) -> None:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            self.show(folder, processes)
        except KeyboardInterrupt:
            self.stdout.write("\nStopped, and the worker with it.")
            sys.exit(130)

    def show(self, folder: Path, processes: int) -> None:
        pictures = self.read_folder(folder)
        start_afresh()
        torn = self.load(pictures)
        sheet = tasks.ask_for_sheet(ADDRESS)
        self.stdout.write(
            f"{Photo.objects.count()} photos, {Job.objects.count()} jobs, {processes} runners, "
            f"on {connection.display_name}. A contact sheet waits for all thumbnails, a mail for the sheet.\n\n"
        )
        worker = start_worker(processes)
        try:
            self.watch(worker)
            self.mend(torn, sheet)
            self.watch(worker)
        finally:
            worker.terminate()
            worker.wait()
        self.conclude(sheet)

    def read_folder(self, path: Path) -> folder.Folder:
        try:
            pictures = folder.read(path)
        except folder.NoPictures as error:
            raise CommandError(str(error)) from error
        for sentence in pictures.skipped:
            self.stdout.write(f"left out: {sentence}")
        return pictures

    def load(self, pictures: folder.Folder) -> Photo:
        """Each photo and its jobs are one transaction; gives the one that is torn on purpose."""
        for picture in pictures.pictures:
            try:
                content = picture.read_bytes()
            except OSError as error:
                self.stdout.write(f"left out: {picture.name}: {error.strerror}")
                continue
            tasks.add_photo(picture.name, content, pictures.title(picture), pictures.source(picture))
        return tasks.add_photo("torn.jpg", torn_picture(), TORN, "made by the demo: half a JPEG")

    def watch(self, worker: subprocess.Popen[bytes]) -> None:
        """Draws the bar until nothing moves any more: all jobs have ended or are stranded."""
        started = last_change = drawn = time.monotonic()
        before: Counter[str] = Counter()
        while True:
            states = Counter(Job.objects.values_list("state", flat=True))
            rests = all(state in FINISHED or state == STRANDED for state in states)
            now = time.monotonic()
            if states != before:
                before, last_change = states, now
            # On a terminal the bar moves; in a file it is a line a second.
            if rests or self.stdout.isatty() or now - drawn > 1:
                drawn = now
                self.draw(telling.bar(states, now - started), last=rests)
            if rests:
                return
            if worker.poll() is not None:
                raise CommandError(f"The worker ended with status {worker.returncode}. {worker_said()}")
            if now - last_change > PATIENCE_SECONDS:
                raise CommandError(f"Nothing has moved for {PATIENCE_SECONDS:.0f} s. {worker_said()}")
            time.sleep(0.1)

    def draw(self, text: str, *, last: bool) -> None:
        if self.stdout.isatty():
            # A line that wraps could not be drawn over.
            text = text[: shutil.get_terminal_size().columns - 1]
            self.stdout.write(f"\r\x1b[2K{text}", ending="\n\n" if last else "")
            self.stdout.flush()
        else:
            self.stdout.write(text, ending="\n\n" if last else "\n")

    def mend(self, torn: Photo, sheet: ContactSheet) -> None:
        """Asks why there is no sheet, puts a whole picture in the torn one's place, and retries its one failed job."""
        self.stdout.write(f"Why is there no sheet?  manage.py gristmill explain {sheet.making_id.hex}\n\n")
        call_command("gristmill", "explain", str(sheet.making_id), stdout=self.stdout)
        draw_graph(sheet, "sheet-stranded.svg")
        tasks.put(torn.file.name, whole_picture())
        failed = Job.objects.get(pk=torn.jobs.get(makes="develop").job_id)
        answer = operations.retry(failed, actor="demo")
        if not answer:
            raise CommandError(f"The torn picture should have failed and did not: {answer.refused}.")
        self.stdout.write(f"\n{short(path_of(torn.file.name))} is whole again; its one failed job is retried.\n\n")

    def conclude(self, sheet: ContactSheet) -> None:
        """The demo has gone well when all succeeded, the torn picture's jobs too."""
        shown = cards(limit=Photo.objects.count())
        for line, is_trouble in telling.table(shown):
            self.stdout.write(self.style.ERROR(line) if is_trouble else line)
        self.stdout.write("")
        sheet.refresh_from_db()
        graph = draw_graph(sheet, "sheet.svg")
        if not sheet.file:
            self.stdout.write(f"No sheet was made. {sheet.making.explain().headline}\n\n")
        for what, path in (
            ("the sheet", path_of(sheet.file.name) if sheet.file else None),
            ("its graph", graph),
            ("… when stranded", graph.with_name("sheet-stranded.svg")),
        ):
            if path:
                self.stdout.write(f"  {what:<16} {short(path)}")
        for path in sorted(mail_folder().glob("*.log")):
            self.stdout.write(f"  {'the mail':<16} {short(path)}\n\n")
            for line in telling.mail(path):
                self.stdout.write(f"      {line}".rstrip())
        if Job.objects.exclude(state="successful").exists():
            raise CommandError("Not all went as it should; the errors stand in the table.")
        self.stdout.write("\n`make dev` shows all of it in your browser.")


def start_afresh() -> None:
    """Nothing of an earlier demo is kept."""
    connection.close()
    for path in (settings.MEDIA_ROOT, mail_folder()):
        shutil.rmtree(path, ignore_errors=True)
    for suffix in ("", "-wal", "-shm"):
        Path(f"{settings.DATABASES['default']['NAME']}{suffix}").unlink(missing_ok=True)
    call_command("prepare_site")


def whole_picture() -> bytes:
    """A drawing, as JPEG."""
    output = io.BytesIO()
    Image.effect_mandelbrot((900, 600), (-2.2, -1.1, 1.1, 1.1), 100).save(output, "JPEG")
    return output.getvalue()


def torn_picture() -> bytes:
    """Half a JPEG: its head is whole, its data ends in the middle."""
    whole = whole_picture()
    return whole[: len(whole) // 2]


def draw_graph(sheet: ContactSheet, name: str) -> Path:
    """Draws what the sheet waits for and what waits for it, beside the sheet."""
    path = path_of("sheets") / name
    path.parent.mkdir(parents=True, exist_ok=True)
    call_command("gristmill", "graph", str(sheet.making_id), svg=str(path), stdout=io.StringIO())
    return path


def start_worker(processes: int) -> subprocess.Popen[bytes]:
    """The command that a reader would type. It has a session of its own, so that Ctrl-C reaches it once: from here."""
    with log_file().open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "manage.py", "gristmill", "worker", "--no-reload", "--processes", str(processes)],
            cwd=settings.BASE_DIR,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def log_file() -> Path:
    return Path(settings.VAR) / "worker.log"


def mail_folder() -> Path:
    return Path(settings.VAR) / "mail"


def path_of(name: str) -> Path:
    return Path(default_storage.path(name))


def worker_said() -> str:
    """The end of the worker's log."""
    lines = log_file().read_text(errors="replace").splitlines()[-15:]
    return "\n".join([f"Its log, {short(log_file())}, ends:", *(f"    {line}" for line in lines)])
