"""`python manage.py make_books`: fills the shop."""

from django.core.management.base import BaseCommand, CommandError

from shop import catalogue


class Command(BaseCommand):
    help = "Fills the database with generated books, authors and sales; the same ones every time."

    def add_arguments(self, parser):
        parser.add_argument("--books", type=int, default=catalogue.BOOKS, help="how many (default: %(default)s)")

    def handle(self, *args, books, **options):
        if books < 1:
            raise CommandError("--books must be at least 1.")
        if catalogue.is_present(books):
            self.stdout.write(f"The shop already holds {books:,} books.")
            return

        def on_progress(done):
            self.stdout.write(f"\r{done:,} of {books:,} books", ending="")
            self.stdout.flush()

        catalogue.make(books, on_progress)
        self.stdout.write()
