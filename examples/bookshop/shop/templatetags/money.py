"""`{{ book.price_cents|money }}`."""

from django import template

register = template.Library()


@register.filter
def money(cents):
    """Whole cents as euros."""
    return f"€{(cents or 0) / 100:,.2f}"
