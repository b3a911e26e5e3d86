"""What a visitor can send."""

from django import forms
from django.core.exceptions import ValidationError
from django.template.defaultfilters import filesizeformat

from .models import Entry

LARGEST_ATTACHMENT = 100 * 1024 * 1024
LARGEST = "100 MB"


class EntryForm(forms.ModelForm):
    """A new entry."""

    class Meta:
        model = Entry
        fields = ("name", "message", "attachment")
        labels = {"name": "Your name", "attachment": "A file"}
        help_texts = {"attachment": f"If you like, and at most {LARGEST}."}
        widgets = {
            "name": forms.TextInput({"autocomplete": "name"}),
            "message": forms.Textarea({"rows": 6}),
            "attachment": forms.FileInput,
        }
        error_messages = {
            "name": {"required": "Please tell us your name; any name will do."},
            "message": {"required": "Please write something."},
        }

    def clean_attachment(self):
        attachment = self.cleaned_data["attachment"]
        if attachment and attachment.size > LARGEST_ATTACHMENT:
            raise ValidationError(
                f"This file has {filesizeformat(attachment.size)}; "
                f"{LARGEST} is the most that an entry can carry."
            )
        return attachment

    def save(self, commit=True):
        if attachment := self.cleaned_data["attachment"]:
            self.instance.attachment_size = attachment.size
            self.instance.attachment_sha256 = attachment.sha256
        return super().save(commit)


class FileForm(forms.Form):
    """A file to be hashed."""

    file = forms.FileField(
        allow_empty_file=True, max_length=255, help_text="Of any size. It is read once and not kept."
    )
