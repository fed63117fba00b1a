"""What the bestseller page costs: sums over every sale of a category."""

from django.db.models import Count, F, Sum

from shop.models import Book, Sale

TOP = 20


def bestsellers(category):
    """The books of a category that sold the most copies, as dictionaries; queried when first looked at.

    Nothing but strings and integers is in them, so what ends up in a cache can be read without this project's
    classes: by another Django site, by a Rust service, by `pinyon get`.
    """
    return (
        Book.objects.filter(category=category)
        .annotate(sold=Sum("sales__copies"))
        .annotate(revenue_cents=F("sold") * F("price_cents"))
        .order_by("-sold", "pk")
        .values("pk", "title", "published", "price_cents", "sold", "revenue_cents", "author__name")[:TOP]
    )


def totals(category):
    """How many copies of how many books were sold in a category."""
    return Sale.objects.filter(book__category=category).aggregate(
        copies=Sum("copies"), books=Count("book", distinct=True)
    )
