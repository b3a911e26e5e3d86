from django.urls import path

from . import views

app_name = "entries"
urlpatterns = [
    path("", views.EntryList.as_view(), name="list"),
    path("write", views.EntryCreate.as_view(), name="write"),
    path("upload", views.upload, name="upload"),
    path("entries.csv", views.download, name="download"),
    path("entries/<int:pk>/attachment", views.attachment, name="attachment"),
]
