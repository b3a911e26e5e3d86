"""What a visitor leaves in the book."""

from functools import partial
from pathlib import PurePosixPath

from django.db import models, transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver
from django.utils import timezone


class Entry(models.Model):
    """One entry, with a file if its writer attached one."""

    name = models.CharField(max_length=80)
    message = models.TextField(max_length=2000)
    created = models.DateTimeField(default=timezone.now, editable=False)
    attachment = models.FileField(upload_to="attachments/%Y/%m/", blank=True)
    attachment_size = models.PositiveBigIntegerField(null=True, editable=False)
    attachment_sha256 = models.CharField("attachment's SHA-256", max_length=64, blank=True, editable=False)

    class Meta:
        ordering = ("-created", "-id")
        indexes = (models.Index(fields=("-created", "-id"), name="newest_first"),)
        verbose_name_plural = "entries"

    def __str__(self):
        return f"{self.name}, {self.created:%d %b %Y}"

    @property
    def attachment_name(self):
        """The file's name without its folder."""
        return PurePosixPath(self.attachment.name).name


@receiver(post_delete, sender=Entry)
def delete_attachment(instance, **_kwargs):
    """Delete the file with its entry, and only when the deletion is certain."""
    if instance.attachment:
        transaction.on_commit(partial(instance.attachment.storage.delete, instance.attachment.name))
