"""The addresses of the site."""

from django.contrib import admin
from django.urls import include, path

admin.site.site_header = "Guestbook administration"
admin.site.site_title = "Guestbook"
admin.site.index_title = "What there is"

urlpatterns = [
    path("", include("entries.urls")),
    path("admin/", admin.site.urls),
]
