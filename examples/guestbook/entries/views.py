"""The pages of the guestbook."""

from django.contrib.messages.views import SuccessMessageMixin
from django.http import FileResponse, Http404, JsonResponse, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse_lazy
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_safe
from django.views.decorators.vary import vary_on_headers
from django.views.generic import CreateView, ListView

from .export import csv_text
from .forms import EntryForm, FileForm
from .models import Entry


class EntryList(ListView):
    """The front page. It makes two queries: how many entries there are, and this page's."""

    model = Entry
    paginate_by = 10

    def get_context_data(self, **kwargs):
        context = super().get_context_data(**kwargs)
        page = context["page_obj"]
        context["page_numbers"] = page.paginator.get_elided_page_range(page.number, on_each_side=1, on_ends=1)
        return context


class EntryCreate(SuccessMessageMixin, CreateView):
    """The form. It has a page of its own, so that the front page needs neither a cookie nor a token."""

    form_class = EntryForm
    template_name = "entries/entry_form.html"
    success_url = reverse_lazy("entries:list")
    success_message = "Thank you, %(name)s. Your entry is in the book."


@require_safe
def attachment(request, pk):
    """An entry's file, always as a download: a visitor's HTML must not run as a page of this site."""
    entry = get_object_or_404(Entry.objects.exclude(attachment=""), pk=pk)
    try:
        file = entry.attachment.open("rb")
    except FileNotFoundError as error:
        raise Http404("The file of this entry is gone.") from error
    return FileResponse(file, as_attachment=True, filename=entry.attachment_name)


@require_safe
def download(request):
    """All entries as CSV, sent while they are read: neither the rows nor the text is ever whole in memory."""
    return StreamingHttpResponse(
        csv_text(Entry.objects.all()),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="guestbook.csv"'},
    )


# Without a CSRF token, so that `curl -F file=@name` will do: nothing is kept, so there is nothing to forge.
@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
@vary_on_headers("Accept")
def upload(request):
    """Hash a file while it arrives, and tell its size and SHA-256 on a page or, if asked for, as JSON."""
    form = FileForm(request.POST, request.FILES) if request.method == "POST" else FileForm()
    result = None
    if form.is_valid():
        file = form.cleaned_data["file"]
        result = {"name": file.name, "size": file.size, "sha256": file.sha256}
    if form.is_bound and request.get_preferred_type(["text/html", "application/json"]) == "application/json":
        if result is None:
            return JsonResponse({"errors": form.errors.get_json_data()}, status=400)
        return JsonResponse(result)
    return render(request, "entries/upload.html", {"form": form, "result": result})
