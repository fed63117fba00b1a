"""Addresses of the bookshop: the bestseller page has one for each way of caching it."""

from django.urls import path, register_converter
from shop import views
from shop.models import Category


class CategoryConverter:
    """A category by its value; any other word is a 404."""

    regex = "|".join(Category.values)

    def to_python(self, value):
        return Category(value)

    def to_url(self, value):
        return str(value)


register_converter(CategoryConverter, "category")

urlpatterns = [
    path("", views.home, name="home"),
    path("books/<int:pk>/", views.book, name="book"),
    path("books/<int:pk>/json/", views.book_as_json, name="book-json"),
    path("bestsellers/<category:category>/no-cache/", views.bestsellers_without_cache, name="no-cache"),
    path("bestsellers/<category:category>/per-view/", views.bestsellers_per_view, name="per-view"),
    path("bestsellers/<category:category>/fragment/", views.bestsellers_by_fragment, name="fragment"),
    path("bestsellers/<category:category>/low-level/", views.bestsellers_low_level, name="low-level"),
]
