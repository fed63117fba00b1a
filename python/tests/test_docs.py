"""The pages in docs/ say what is so: every option, every excluded test, and links that lead somewhere."""

import re
from pathlib import Path

import pytest
from django_suite import exclusions

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SETTINGS = ROOT / "crates" / "pinyon" / "src" / "settings"
#: The page of each reader of options: a new backend is one line.
PAGES = {
    "memory": "memory_options.rs",
    "redis": "redis_options.rs",
    "memcached": "memcached_options.rs",
    "file": "file_options.rs",
    "database": "database_options.rs",
}

pytestmark = pytest.mark.pinyon_only


def options_of(reader):
    """The names in the reader's lists of option names."""
    source = (SETTINGS / reader).read_text(encoding="utf-8")
    lists = re.findall(
        r"^(?:pub\(super\) )?const \w*(?:NAMES|BEHAVIORS): &\[&str\] =\s*&\[(.*?)\];", source, re.M | re.S
    )
    return {name for names in lists for name in re.findall(r'"(\w+)"', names)}


def documented(page):
    """The names in the first column of the tables under "## Options"."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    section = re.search(r"^## Options\n(.*?)^## ", text, re.M | re.S).group(1)
    first_cells = re.findall(r"^\| ([^|]*) \|", section, re.M)
    return {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}


@pytest.mark.parametrize("page", PAGES)
def test_every_option_is_documented_and_every_documented_option_exists(page):
    options = options_of(PAGES[page])
    assert "ON_BAD_VALUE" in options
    assert documented(page) == options


def test_every_excluded_test_is_documented():
    text = (DOCS / "compatibility.md").read_text(encoding="utf-8")
    lists = (exclusions.IMPOSSIBLE, exclusions.EXCLUSIONS, exclusions.SKIPPED_BY_DJANGO)
    names = {name for excluded in lists for tests in excluded.values() for name in tests}
    assert {name for name in names if f"`{name}`" not in text} == set()


def heading_anchor(heading):
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", *(f"docs/{page.name}" for page in DOCS.glob("*.md"))])
def test_links_lead_somewhere(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (ROOT / page).parent / path if path else ROOT / page
        assert linked.exists(), f"{page} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.M)
            assert anchor in {heading_anchor(heading) for heading in headings}, f"{page} links to {target}"
