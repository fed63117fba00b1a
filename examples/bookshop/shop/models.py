"""Authors, their books, and what was sold of them."""

from django.db import models


class Category(models.TextChoices):
    """The shelf that a book stands on."""

    CHILDREN = "children", "Children"
    CRIME = "crime", "Crime"
    FANTASY = "fantasy", "Fantasy"
    HISTORY = "history", "History"
    NATURE = "nature", "Nature"
    POETRY = "poetry", "Poetry"
    SCIENCE = "science", "Science"
    TRAVEL = "travel", "Travel"


class Author(models.Model):
    """Who wrote a book."""

    name = models.CharField(max_length=80)
    born = models.PositiveSmallIntegerField(help_text="Year of birth.")

    def __str__(self):
        return self.name


class Book(models.Model):
    """A title in the catalogue."""

    title = models.CharField(max_length=120)
    author = models.ForeignKey(Author, on_delete=models.CASCADE, related_name="books")
    category = models.CharField(max_length=10, choices=Category, db_index=True)
    published = models.PositiveSmallIntegerField(help_text="Year.")
    pages = models.PositiveSmallIntegerField()
    price_cents = models.PositiveIntegerField(help_text="Whole cents, so that sums are exact.")

    def __str__(self):
        return self.title


class Sale(models.Model):
    """How many copies of one book went over the counter on one day."""

    book = models.ForeignKey(Book, on_delete=models.CASCADE, related_name="sales")
    sold_on = models.DateField()
    copies = models.PositiveSmallIntegerField()

    def __str__(self):
        return f"{self.copies} of {self.book_id} on {self.sold_on}"
