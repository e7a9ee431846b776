"""What the example site promises."""

from __future__ import annotations

import io
import tempfile
from collections import Counter
from datetime import timedelta
from pathlib import Path
from unittest import mock

from django.core import mail
from django.db import transaction
from django.test import SimpleTestCase, TestCase, override_settings
from django.urls import reverse
from PIL import Image

from gristmill import Constant
from gristmill.models import Job
from gristmill.testing import clock, run_jobs
from photos import folder, pictures, tasks, telling
from photos.management.commands.demo import torn_picture
from photos.models import Photo


def picture(width: int = 600, height: int = 400, colour: str = "#336699") -> bytes:
    """A plain JPEG."""
    output = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(output, "JPEG")
    return output.getvalue()


class PicturesTest(TestCase):
    """Work on pictures."""

    def test_a_thumbnails_longer_side_is_the_size_asked_for(self) -> None:
        small = Image.open(io.BytesIO(pictures.shrink(io.BytesIO(picture(600, 400)), 160)))
        self.assertEqual(small.size, (160, 107))

    def test_a_small_picture_is_not_enlarged(self) -> None:
        small = Image.open(io.BytesIO(pictures.shrink(io.BytesIO(picture(60, 40)), 160)))
        self.assertEqual(small.size, (60, 40))

    def test_one_plain_colour_is_the_whole_palette(self) -> None:
        self.assertEqual(len(pictures.main_colours(io.BytesIO(picture()))), 1)

    def test_a_sheet_has_room_for_every_picture_and_cuts_long_titles(self) -> None:
        titled = [("A title that is far too long to stand below a picture of that width", io.BytesIO(picture()))] * 5
        sheet = Image.open(io.BytesIO(pictures.contact_sheet(iter(titled), 5)))
        self.assertEqual(sheet.size, (2 * 48 + 3 * 300 + 2 * 24, 2 * 48 + 2 * 259 + 24))

    def test_a_torn_picture_says_so_in_words(self) -> None:
        with self.assertRaisesRegex(pictures.UnreadablePicture, "image file is truncated"):
            pictures.shrink(io.BytesIO(torn_picture()), 160)

    def test_what_is_no_picture_says_so_in_words(self) -> None:
        with self.assertRaisesRegex(pictures.UnreadablePicture, "not a picture that can be read"):
            pictures.main_colours(io.BytesIO(b"a shopping list"))


class SiteTestCase(TestCase):
    """Files that are gone afterwards."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        settings = override_settings(MEDIA_ROOT=scratch.name)
        settings.enable()
        self.addCleanup(settings.disable)


class SiteTest(SiteTestCase):
    """Photos and their jobs."""

    def test_a_photo_asks_for_five_jobs_and_four_of_them_wait_for_the_first(self) -> None:
        photo = tasks.add_photo("blue.jpg", picture(), "Blue")
        first, *others = photo.jobs.all()
        self.assertEqual(first.makes, "develop")
        self.assertEqual([job.makes for job in others], ["thumbnail 160", "thumbnail 480", "thumbnail 960", "palette"])
        self.assertEqual(Job.objects.ready().get().pk, first.job_id)
        self.assertEqual({job.pk for job in Job.objects.waiting()}, {job.job_id for job in others})

    def test_a_photo_that_is_rolled_back_leaves_no_job(self) -> None:
        with self.assertRaises(ZeroDivisionError), transaction.atomic():
            tasks.add_photo("blue.jpg", picture(), "Blue")
            raise ZeroDivisionError
        self.assertEqual((Photo.objects.count(), Job.objects.count()), (0, 0))

    def test_a_task_that_runs_twice_leaves_one_thumbnail(self) -> None:
        photo = tasks.add_photo("blue.jpg", picture(), "Blue")
        tasks.develop.func(photo.pk)
        names = [tasks.make_thumbnail.func(photo.pk, 160) for _ in range(2)]
        self.assertEqual(names, [f"thumbnails/{photo.pk}/160.jpg"] * 2)
        self.assertEqual(photo.thumbnails.count(), 1)

    def test_the_jobs_of_a_photo_make_its_thumbnails_and_find_its_colours(self) -> None:
        photo = tasks.add_photo("grey.jpg", picture(colour="#808080"), "Grey")
        self.assertEqual(run_jobs().successful, 5)
        photo.refresh_from_db()
        self.assertEqual(sorted(photo.thumbnails.values_list("size", flat=True)), [160, 480, 960])
        self.assertEqual(photo.palette, ["#808080"])

    def test_a_torn_photo_fails_with_words_and_the_others_are_made(self) -> None:
        torn = tasks.add_photo("torn.jpg", torn_picture(), "Torn")
        tasks.add_photo("blue.jpg", picture(), "Blue")
        ran = run_jobs(raise_errors=False)
        self.assertEqual((ran.successful, ran.failed), (5, 1))
        error = tasks.develop.get_result(str(torn.jobs.get(makes="develop").job_id)).errors[0]
        self.assertIs(error.exception_class, pictures.UnreadablePicture)
        self.assertEqual(Job.objects.stranded().count(), 4)

    def test_a_disk_that_is_away_for_a_while_costs_a_photo_nothing(self) -> None:
        with clock() as now:
            photo = tasks.add_photo("grey.jpg", picture(colour="#808080"), "Grey")
            run_jobs()
            patient = tasks.make_palette.using(max_attempts=3, backoff=Constant(60)).enqueue(photo.pk)
            with mock.patch("photos.pictures.main_colours", side_effect=OSError("the disk is away")):
                self.assertEqual(run_jobs(task=tasks.make_palette).retried, 1)
            self.assertEqual(len(run_jobs(task=tasks.make_palette)), 0)
            now.advance(timedelta(seconds=60))
            self.assertEqual(run_jobs(task=tasks.make_palette).successful, 1)
        patient.refresh()
        self.assertEqual((patient.return_value, len(patient.errors)), (["#808080"], 1))

    def test_the_page_shows_photos_and_what_waits(self) -> None:
        tasks.add_photo("blue.jpg", picture(), "Blue")
        page = self.client.get(reverse("index"))
        self.assertContains(page, "Blue")
        self.assertContains(page, 'class="ready"', count=1)
        self.assertContains(page, 'class="waiting"', count=4)
        self.assertContains(page, 'http-equiv="refresh"')

    def test_an_empty_site_says_what_to_do(self) -> None:
        self.assertContains(self.client.get(reverse("index")), "make demo")


class SheetTest(SiteTestCase):
    """The contact sheet, which waits for all thumbnails, and the mail, which waits for the sheet."""

    def test_the_sheet_waits_for_every_thumbnail_and_the_mail_for_the_sheet(self) -> None:
        tasks.add_photo("blue.jpg", picture(), "Blue")
        tasks.add_photo("grey.jpg", picture(colour="#808080"), "Grey")
        sheet = tasks.ask_for_sheet("lea@example.com")
        self.assertEqual({job.task_name for job in sheet.making.preconditions}, {"photos.tasks.make_thumbnail"})
        self.assertEqual(sheet.making.preconditions.count(), 6)
        last = sheet.making.preconditions.last()
        last.hold("the ink has to dry")
        run_jobs()
        sheet.refresh_from_db()
        self.assertEqual((sheet.making_state.state, sheet.mailing_state.state), ("waiting", "waiting"))

        last.release()
        run_jobs()

        sheet.refresh_from_db()
        self.assertTrue(sheet.making_state.is_done and sheet.mailing_state.is_done)
        with sheet.file.open() as file:
            self.assertEqual(Image.open(file).size, (720, 355))
        (message,) = mail.outbox
        self.assertEqual((message.to, message.attachments[0][0]), (["lea@example.com"], "contact-sheet.jpg"))

    def test_a_torn_photo_strands_the_sheet_and_the_mail_and_its_retry_heals_both(self) -> None:
        tasks.add_photo("blue.jpg", picture(), "Blue")
        torn = tasks.add_photo("torn.jpg", torn_picture(), "Torn")
        sheet = tasks.ask_for_sheet("lea@example.com")
        run_jobs(raise_errors=False)
        self.assertEqual((sheet.making_state.state, sheet.mailing_state.state), ("stranded", "stranded"))
        self.assertIn("3 of its 6 preconditions", sheet.making.explain().headline)
        self.assertEqual(mail.outbox, [])

        tasks.put(torn.file.name, picture())
        self.assertTrue(Job.objects.get(pk=torn.jobs.get(makes="develop").job_id).retry())
        self.assertEqual(run_jobs().successful, 7)

        sheet.refresh_from_db()
        self.assertTrue(sheet.making_state.is_done and sheet.mailing_state.is_done)
        self.assertEqual(len(mail.outbox), 1)

    def test_a_stranded_sheet_is_shown_and_the_page_stops_looking_again(self) -> None:
        tasks.add_photo("torn.jpg", torn_picture(), "Torn")
        tasks.ask_for_sheet("lea@example.com")
        run_jobs(raise_errors=False)
        page = self.client.get(reverse("index"))
        self.assertContains(page, "contact sheet (stranded)")
        self.assertNotContains(page, 'http-equiv="refresh"')


class TellingTest(SimpleTestCase):
    """What the demo prints."""

    def test_the_bar_tells_what_is_done_what_has_stopped_and_what_is_to_come(self) -> None:
        states = Counter(successful=14, failed=1, stranded=6, ready=7)
        self.assertEqual(
            telling.bar(states, 1.25),
            "  [##############!!!!!!!-------] 14 of 28 done, 1 failed, 6 stranded  1.2 s",
        )

    def test_a_mail_is_told_as_a_person_sees_it(self) -> None:
        message = mail.EmailMessage("Hello", "Here it is.", "a@example.com", ["b@example.com"])
        message.attach("sheet.jpg", picture(), "image/jpeg")
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "mail.log"
            path.write_bytes(message.message().as_bytes() + b"\n" + b"-" * 79 + b"\n")
            told = list(telling.mail(path))
        self.assertEqual(told[:5], ["From: a@example.com", "To: b@example.com", "Subject: Hello", "", "Here it is."])
        self.assertRegex(told[5], r"^\[sheet.jpg, \d+ kB\]$")


class FolderTest(TestCase):
    """Folders with odd things in them."""

    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.path = Path(scratch.name)

    def test_what_is_not_a_picture_is_left_out_in_words(self) -> None:
        (self.path / "sea_at_night.jpg").write_bytes(picture())
        (self.path / "empty.png").touch()
        (self.path / "notes.txt").write_text("milk, bread")
        (self.path / "older.jpg").mkdir()
        found = folder.read(self.path)
        self.assertEqual([path.name for path in found.pictures], ["sea_at_night.jpg"])
        self.assertEqual(
            found.skipped, ["empty.png: empty", "notes.txt: not a picture by its name", "older.jpg: a folder"]
        )
        self.assertEqual(found.title(found.pictures[0]), "sea at night")

    def test_a_folder_without_pictures_says_why(self) -> None:
        for path, sentence in (
            (self.path / "nowhere", "There is no folder"),
            (self.path, "it is empty"),
        ):
            with self.subTest(sentence), self.assertRaisesRegex(folder.NoPictures, sentence):
                folder.read(path)
