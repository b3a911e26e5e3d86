"""What the site does by itself: `python manage.py test`. How it is served is tested elsewhere."""

# ruff: noqa: PT009 - under Django's own runner, which is unittest's, a bare assert tells no values

import hashlib
import tempfile
from pathlib import Path
from unittest import mock

from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import TestCase, override_settings
from django.urls import reverse

from . import forms
from .export import cell, csv_text
from .models import Entry
from .seeds import ENTRIES, sow

# The plain storage needs no collected files, which a fresh tree does not have.
PLAIN_STATIC = {"staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}


@override_settings(STORAGES={**settings.STORAGES, **PLAIN_STATIC})
class GuestbookTestCase(TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(dir=settings.VAR)
        self.addCleanup(folder.cleanup)
        self.media = Path(folder.name)
        self.enterContext(override_settings(MEDIA_ROOT=self.media))

    def write(self, **fields):
        return self.client.post(reverse("entries:write"), {"name": "A", "message": "B", **fields})


class ListTests(GuestbookTestCase):
    def test_the_front_page_makes_two_queries_and_sets_no_cookie(self):
        sow()
        with self.assertNumQueries(2):
            answer = self.client.get("/")
        self.assertEqual(
            [entry.name for entry in answer.context["page_obj"]], [name for name, _ in ENTRIES[:10]]
        )
        self.assertFalse(answer.cookies)

    def test_an_empty_book_says_so(self):
        self.assertContains(self.client.get("/"), "Nobody has written anything yet.")


class WriteTests(GuestbookTestCase):
    def test_markup_in_an_entry_is_text(self):
        self.write(message="<script>alert(1)</script>")
        self.assertContains(self.client.get("/"), "&lt;script&gt;")

    def test_an_attachment_is_kept_with_its_size_and_hash(self):
        self.write(attachment=SimpleUploadedFile("../../a map.txt", b"here be dragons"))
        entry = Entry.objects.get()
        self.assertEqual(entry.attachment_name, "a_map.txt")
        self.assertEqual(entry.attachment_size, 15)
        self.assertEqual(entry.attachment_sha256, hashlib.sha256(b"here be dragons").hexdigest())
        self.assertTrue(Path(entry.attachment.path).is_relative_to(self.media))

    def test_an_attachment_is_never_shown_as_a_page(self):
        self.write(attachment=SimpleUploadedFile("page.html", b"<h1>mine</h1>", "text/html"))
        answer = self.client.get(reverse("entries:attachment", args=(Entry.objects.get().pk,)))
        self.assertEqual(b"".join(answer.streaming_content), b"<h1>mine</h1>")
        self.assertEqual(answer["Content-Disposition"], 'attachment; filename="page.html"')

    def test_a_lost_attachment_is_not_found(self):
        self.write(attachment=SimpleUploadedFile("lost.txt", b"x"))
        entry = Entry.objects.get()
        Path(entry.attachment.path).unlink()
        self.assertEqual(self.client.get(reverse("entries:attachment", args=(entry.pk,))).status_code, 404)

    def test_too_large_an_attachment_is_refused_and_not_kept(self):
        self.enterContext(mock.patch.object(forms, "LARGEST_ATTACHMENT", 10))
        answer = self.write(attachment=SimpleUploadedFile("large.txt", b"eleven byte"))
        self.assertContains(answer, "is the most that an entry can carry")
        self.assertFalse(Entry.objects.exists())
        self.assertFalse(list(self.media.rglob("*.txt")))

    def test_the_file_goes_with_its_entry(self):
        self.write(attachment=SimpleUploadedFile("gone.txt", b"x"))
        entry = Entry.objects.get()
        path = Path(entry.attachment.path)
        with self.captureOnCommitCallbacks(execute=True):
            entry.delete()
        self.assertFalse(path.exists())


class UploadTests(GuestbookTestCase):
    def upload(self, accept, **files):
        return self.client.post(reverse("entries:upload"), files, headers={"accept": accept})

    def test_json_only_for_those_who_ask(self):
        for accept, kind in (
            ("*/*", "text/html"),
            ("text/html,application/xhtml+xml,*/*;q=0.8", "text/html"),
            ("application/json", "application/json"),
            ("image/png", "text/html"),
        ):
            with self.subTest(accept=accept):
                answer = self.upload(accept, file=SimpleUploadedFile("a", b"a"))
                self.assertTrue(answer["Content-Type"].startswith(kind))
                self.assertIn("Accept", answer["Vary"])

    def test_an_empty_file_has_a_hash_too(self):
        answer = self.upload("application/json", file=SimpleUploadedFile("empty", b""))
        self.assertEqual(answer.json(), {"name": "empty", "size": 0, "sha256": hashlib.sha256().hexdigest()})

    def test_no_file_is_an_error(self):
        answer = self.upload("application/json")
        self.assertEqual(answer.status_code, 400)
        self.assertIn("file", answer.json()["errors"])
        self.assertContains(self.upload("text/html"), "There is no file to check yet.")


class ExportTests(GuestbookTestCase):
    def test_many_entries_come_in_few_pieces(self):
        Entry.objects.bulk_create(Entry(name="A", message="B" * 100) for _ in range(1000))
        pieces = list(csv_text(Entry.objects.all()))
        self.assertEqual("".join(pieces).count("\r\n"), 1001)
        self.assertLess(len(pieces), 20)

    def test_a_formula_becomes_text(self):
        self.assertEqual(cell("=1+1"), "'=1+1")
        self.assertEqual(cell("1+1"), "1+1")
        self.assertEqual(cell(7), 7)
