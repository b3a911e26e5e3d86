"""Entries of the first start, so that the book is not empty: an inn's, as it happens."""

from datetime import timedelta

from django.utils import timezone

from .models import Entry

# Newest first, as on the page.
ENTRIES = (
    (
        "Room 4",
        "The stable clock is ten minutes fast, which is how we caught the morning coach.",
    ),
    (
        "Two cyclists",
        "Rain from the pass down, then soup, then sun.\n\nThank you for drying our shoes!",
    ),
    (
        "The night porter",
        "A quiet night. One cat let in, one cat let out, the same cat let in.",
    ),
    (
        "A reader by the window",
        "The shelf on the first floor holds one more book than before I came.",
    ),
    ("Table 9", "The apple cake deserves a page of its own. This is it."),
    ("Walking party of six", "Five of us would come again tomorrow. The sixth is still asleep."),
    ("Someone in a hurry", "In at eleven, out at five, and still greeted by name at both ends. Well done."),
    (
        "Room 2",
        "The small window has the better view. Ask for the bed on the left.",
    ),
    ("The choir from the valley", "You asked for one song and got nine. Sorry about the neighbours."),
    ("A surveyor", "For the record: the third stair is 4 mm lower than the others. It sings, too."),
    ("Late arrivals", "The door was locked, the bell was loud, the welcome was warm. In that order."),
    ("Family in the attic", "The children want to live here. We have begun to negotiate."),
    ("Room 7", "“Breakfast until ten” is the kindest sentence in the house."),
    ("A botanist", "Found in your garden: eleven kinds of moss, two of them shy."),
    ("The piano tuner", "Done. Please keep the geraniums off the lid this time."),
    ("Four card players", "Nobody won. We will have to come back and settle it."),
    (
        "Travelling with a dog",
        "Water bowl, blanket, a place by the fire. For us there was something, too.",
    ),
    ("Room 1", "Grüße aus dem Norden, et merci pour le pain. Ευχαριστώ!"),
    ("A map collector", "The map in the hall shows a bridge that was never built. Do not ever take it down."),
    (
        "The wedding in the barn",
        "It rained in, and nobody minded. Thanks to whoever found the tarpaulin.",
    ),
    ("Passing through", "Only stopped to change horses. Stayed for three days."),
    ("Room 5", "The radiator knocks twice before it warms. After the first night you miss it elsewhere."),
    ("Snowed in", "Day one: cards. Day two: soup. Day three: we founded a society."),
    ("A clockmaker", "About the stable clock: leave it. Ten minutes are a courtesy to the guests."),
    (
        "The house",
        "A fresh book, and the first page is yours. Be kind to each other.",
    ),
)


def sow():
    """Write the entries, the latest as of an hour ago and the others over the weeks before."""
    latest = timezone.now().replace(second=0, microsecond=0) - timedelta(hours=1)
    Entry.objects.bulk_create(
        Entry(name=name, message=message, created=latest - timedelta(hours=17, minutes=23) * age)
        for age, (name, message) in reversed(list(enumerate(ENTRIES)))
    )
