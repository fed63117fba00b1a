"""What the bookshop promises. `python manage.py test`; needs no server."""

import io

import pinyon.django
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import TestCase, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from shop import catalogue
from shop.models import Author, Book, Category, Sale
from shop.view_counter import count_view, views_of
from shop.views import WAYS

BOOKS = 400
MEMORY = pinyon.django.accelerate(
    {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "bookshop-tests"}}
)
CACHED_WAYS = [way for way in WAYS if way != "no-cache"]


def stock():
    """Everything in the shop, as plain rows."""
    return [list(model.objects.order_by("pk").values_list()) for model in (Author, Book, Sale)]


@override_settings(CACHES=MEMORY)
class ShopTestCase(TestCase):
    """A small stock and an empty cache for each test."""

    @classmethod
    def setUpTestData(cls):
        catalogue.make(BOOKS)

    def setUp(self):
        cache.clear()

    def bestsellers(self, way):
        return self.client.get(reverse(way, args=[Category.CRIME]))


class BestsellerPage(ShopTestCase):
    def test_answers_with_each_way_of_caching_first_and_again(self):
        for way in WAYS:
            for visit in ("first", "second"):
                with self.subTest(way=way, visit=visit):
                    response = self.bestsellers(way)
                    self.assertEqual(response.status_code, 200)
                    self.assertContains(response, "Bestsellers in Crime")

    def test_lists_the_same_books_with_each_way_of_caching(self):
        expected = [book["title"] for book in self.bestsellers("no-cache").context["books"]]
        self.assertEqual(len(expected), 20)
        for way in CACHED_WAYS:
            for visit in ("first", "second"):
                with self.subTest(way=way, visit=visit):
                    page = self.bestsellers(way).content.decode()
                    self.assertEqual(sorted(expected, key=page.index), expected)

    def test_asks_the_database_each_time_without_a_cache(self):
        for _ in range(2):
            with self.assertNumQueries(2):
                self.bestsellers("no-cache")

    def test_asks_the_database_only_the_first_time_when_cached(self):
        for way in CACHED_WAYS:
            with self.subTest(way=way):
                with self.assertNumQueries(2):
                    self.bestsellers(way)
                with self.assertNumQueries(0):
                    self.bestsellers(way)

    def test_ranks_by_copies_sold(self):
        unknown = Book.objects.filter(category=Category.CRIME).last()
        Sale.objects.create(book=unknown, sold_on=catalogue.FIRST_DAY, copies=30_000)
        best = self.bestsellers("no-cache").context["books"][0]
        self.assertEqual(best["pk"], unknown.pk)
        self.assertEqual(best["revenue_cents"], best["sold"] * unknown.price_cents)

    def test_shows_what_this_visit_cost_even_when_the_page_is_cached(self):
        self.assertContains(self.bestsellers("per-view"), "<b>2</b> queries")
        self.assertContains(self.bestsellers("per-view"), "<b>0</b> queries")

    def test_knows_no_category_but_its_own(self):
        self.assertEqual(self.client.get("/bestsellers/cars/no-cache/").status_code, 404)


class ViewCounter(ShopTestCase):
    def test_each_look_at_a_book_counts(self):
        for views in (1, 2, 3):
            response = self.client.get(reverse("book", args=[1]))
            self.assertEqual(response.context["views"], views)

    def test_books_are_counted_apart(self):
        count_view(1)
        count_view(1)
        count_view(2)
        self.assertEqual(views_of([1, 2, 3]), {1: 2, 2: 1, 3: 0})

    def test_is_fresh_on_the_cached_bestseller_page(self):
        best = self.bestsellers("low-level").context["books"][0]
        self.assertEqual(best["views"], 0)
        self.client.get(reverse("book", args=[best["pk"]]))
        self.assertEqual(self.bestsellers("low-level").context["books"][0]["views"], 1)

    def test_a_book_that_does_not_exist_is_not_counted(self):
        self.assertEqual(self.client.get(reverse("book", args=[BOOKS + 1])).status_code, 404)
        self.assertEqual(views_of([BOOKS + 1]), {BOOKS + 1: 0})


class BookAsJson(ShopTestCase):
    def test_says_what_the_database_says(self):
        book = Book.objects.get(pk=7)
        answer = self.client.get(reverse("book-json", args=[7])).json()
        self.assertEqual(answer["title"], book.title)
        self.assertEqual(answer["author"], book.author.name)
        self.assertEqual(answer["price_cents"], book.price_cents)

    def test_asks_the_database_once_and_counts_each_look(self):
        first = self.client.get(reverse("book-json", args=[7])).json()
        with self.assertNumQueries(0):
            second = self.client.get(reverse("book-json", args=[7])).json()
        self.assertEqual(second, {**first, "views": first["views"] + 1})

    def test_shares_its_counter_with_the_page(self):
        self.client.get(reverse("book", args=[7]))
        self.assertEqual(self.client.get(reverse("book-json", args=[7])).json()["views"], 2)

    def test_a_book_that_does_not_exist_is_neither_found_nor_counted(self):
        self.assertEqual(self.client.get(reverse("book-json", args=[BOOKS + 1])).status_code, 404)
        self.assertEqual(views_of([BOOKS + 1]), {BOOKS + 1: 0})

    async def test_answers_through_the_asgi_application(self):
        first = await self.async_client.get(reverse("book-json", args=[7]))
        second = await self.async_client.get(reverse("book-json", args=[7]))
        self.assertEqual([first.json()["views"], second.json()["views"]], [1, 2])


class HomePage(ShopTestCase):
    def test_shows_every_shelf_and_the_number_of_books(self):
        response = self.client.get(reverse("home"))
        self.assertContains(response, f"{BOOKS} books")
        for category in Category:
            self.assertContains(response, category.label)

    def test_counts_the_books_once(self):
        self.client.get(reverse("home"))
        with self.assertNumQueries(0):
            self.client.get(reverse("home"))


class MakeBooks(TestCase):
    def test_makes_the_same_books_every_time(self):
        catalogue.make(300)
        first = stock()
        catalogue.make(300)
        # Not assertEqual: its account of a difference between thousands of rows helps nobody and takes a minute.
        self.assertTrue(stock() == first)

    def test_makes_as_many_books_as_it_is_told(self):
        call_command("make_books", books=120, stdout=io.StringIO())
        self.assertEqual(Book.objects.count(), 120)
        self.assertEqual(Sale.objects.values("book").distinct().count(), 120)

    def test_leaves_a_full_shop_alone(self):
        call_command("make_books", books=50, stdout=io.StringIO())
        out = io.StringIO()
        with CaptureQueriesContext(connection) as queries:
            call_command("make_books", books=50, stdout=out)
        self.assertEqual(len(queries), 1)
        self.assertIn("already holds 50 books", out.getvalue())

    def test_replaces_a_stock_of_another_size(self):
        call_command("make_books", books=50, stdout=io.StringIO())
        call_command("make_books", books=30, stdout=io.StringIO())
        self.assertEqual(Book.objects.count(), 30)

    def test_refuses_to_make_no_books(self):
        with self.assertRaises(CommandError):
            call_command("make_books", books=0)

    def test_reports_its_progress_up_to_the_end(self):
        reported = []
        catalogue.make(60, reported.append)
        self.assertEqual(reported[-1], 60)


class Settings(TestCase):
    def test_migrations_are_complete(self):
        call_command("makemigrations", check=True, dry_run=True, verbosity=0)
