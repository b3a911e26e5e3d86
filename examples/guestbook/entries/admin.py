from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html

from .models import Entry


@admin.register(Entry)
class EntryAdmin(admin.ModelAdmin):
    list_display = ("name", "created", "beginning", "attachment_size")
    search_fields = ("name", "message", "attachment_sha256")
    date_hierarchy = "created"
    # A file comes with the size and hash that the visitor's upload had: it is not exchanged here.
    exclude = ("attachment",)
    readonly_fields = ("created", "attachment_link", "attachment_size", "attachment_sha256")

    @admin.display(description="message")
    def beginning(self, entry):
        return entry.message if len(entry.message) <= 60 else f"{entry.message[:59]}…"

    @admin.display(description="attachment", empty_value="-")
    def attachment_link(self, entry):
        if not entry.attachment:
            return None
        address = reverse("entries:attachment", args=(entry.pk,))
        return format_html('<a href="{}">{}</a>', address, entry.attachment_name)
