"""The tables of the shop."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Author",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=80)),
                ("born", models.PositiveSmallIntegerField(help_text="Year of birth.")),
            ],
        ),
        migrations.CreateModel(
            name="Book",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("title", models.CharField(max_length=120)),
                (
                    "category",
                    models.CharField(
                        choices=[
                            ("children", "Children"),
                            ("crime", "Crime"),
                            ("fantasy", "Fantasy"),
                            ("history", "History"),
                            ("nature", "Nature"),
                            ("poetry", "Poetry"),
                            ("science", "Science"),
                            ("travel", "Travel"),
                        ],
                        db_index=True,
                        max_length=10,
                    ),
                ),
                ("published", models.PositiveSmallIntegerField(help_text="Year.")),
                ("pages", models.PositiveSmallIntegerField()),
                ("price_cents", models.PositiveIntegerField(help_text="Whole cents, so that sums are exact.")),
                (
                    "author",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="books", to="shop.author"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Sale",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("sold_on", models.DateField()),
                ("copies", models.PositiveSmallIntegerField()),
                (
                    "book",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="sales", to="shop.book"
                    ),
                ),
            ],
        ),
    ]
