"""The pages. The bestseller page is there four times: without a cache, and cached in Django's three ways."""

from django.core.cache import cache
from django.db.models import Count, Sum
from django.http import JsonResponse
from django.shortcuts import aget_object_or_404, get_object_or_404, render
from django.utils.functional import SimpleLazyObject
from django.views.decorators.cache import cache_page

from shop.models import Book, Category
from shop.ranking import bestsellers, totals
from shop.view_counter import acount_view, count_view, views_of

LIFETIME = 300  # seconds

WAYS = {
    "no-cache": "No cache",
    "per-view": "Per view",
    "fragment": "Template fragment",
    "low-level": "Low-level API",
}


def bestsellers_without_cache(request, category):
    """Asks the database each time."""
    context = page("no-cache", category, books=bestsellers(category), totals=totals(category))
    return render(request, "shop/bestsellers.html", context)


@cache_page(LIFETIME)
def bestsellers_per_view(request, category):
    """The whole answer is cached: on a hit this function is not called."""
    context = page("per-view", category, books=bestsellers(category), totals=totals(category))
    return render(request, "shop/bestsellers.html", context)


def bestsellers_by_fragment(request, category):
    """The template caches the expensive part; until it looks at `books` and `totals`, nothing is queried."""
    summary = SimpleLazyObject(lambda: totals(category))
    context = page("fragment", category, books=bestsellers(category), totals=summary)
    return render(request, "shop/bestsellers_fragment.html", context)


def bestsellers_low_level(request, category):
    """Caches the figures and not the page, so that the view counters beside them are always fresh."""
    figures = cache.get_or_set(
        f"bestsellers:{category}",
        lambda: {"books": list(bestsellers(category)), "totals": totals(category)},
        LIFETIME,
    )
    views = views_of(book["pk"] for book in figures["books"])
    books = [{**book, "views": views[book["pk"]]} for book in figures["books"]]
    context = page("low-level", category, books=books, totals=figures["totals"])
    return render(request, "shop/bestsellers.html", context)


def page(way, category, **figures):
    """What the bestseller page needs besides its figures."""
    return {"way": way, "ways": WAYS, "category": category, "lifetime": LIFETIME, **figures}


def home(request):
    """The shelves."""
    shelves = cache.get_or_set("shelves", count_books, LIFETIME)
    context = {
        "shelves": [(category, shelves.get(category.value, 0)) for category in Category],
        "books": sum(shelves.values()),
        "ways": WAYS,
    }
    return render(request, "shop/home.html", context)


def count_books():
    """How many books each category has."""
    return dict(Book.objects.order_by().values_list("category").annotate(Count("pk")))


def book(request, pk):
    """One book; looking at it counts."""
    found = get_object_or_404(Book.objects.select_related("author"), pk=pk)
    context = {
        "book": found,
        "sold": found.sales.aggregate(copies=Sum("copies"))["copies"] or 0,
        "views": count_view(pk),
        "others": found.author.books.exclude(pk=pk).order_by("-published", "pk")[:6],
    }
    return render(request, "shop/book.html", context)


async def book_as_json(request, pk):
    """One book for another program, from a coroutine: what is known of it is cached, and looking at it counts."""
    known = await cache.aget(f"book:{pk}")
    if known is None:
        found = await aget_object_or_404(Book.objects.select_related("author"), pk=pk)
        known = {
            "title": found.title,
            "author": found.author.name,
            "category": found.category,
            "published": found.published,
            "price_cents": found.price_cents,
        }
        await cache.aset(f"book:{pk}", known, LIFETIME)
    return JsonResponse({"pk": pk, **known, "views": await acount_view(pk)})
