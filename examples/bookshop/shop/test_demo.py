"""What the demo promises, without its waiting times and without a server."""

import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import chart
import demo
import measurement
import pinyon.django
import serving
from bookshop import settings as settings_module
from bookshop.wsgi import application
from django.conf import settings
from django.core.cache import caches
from django.test import SimpleTestCase, TestCase, override_settings
from measurement import Measurement

from shop import catalogue
from shop.views import WAYS

try:
    import tomllib
except ImportError:  # Python 3.10
    tomllib = None

LOCMEM = "django.core.cache.backends.locmem.LocMemCache"
CACHES = pinyon.django.accelerate(
    {
        "default": {"BACKEND": LOCMEM, "LOCATION": "demo-tests"},
        "other": {"BACKEND": LOCMEM, "LOCATION": "demo-tests-other"},
        # Nothing listens on port 1.
        "stopped": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"},
    }
)
MEASUREMENTS = [
    Measurement("none", "no-cache", requests=200, milliseconds=30.0, per_second=33.0),
    Measurement("memory", "per-view", requests=500, milliseconds=0.15, per_second=6500.0),
    Measurement("memory", "fragment", requests=500, milliseconds=0.6, per_second=1600.0),
]


@override_settings(CACHES=CACHES)
@mock.patch.multiple(measurement, UNCACHED_REQUESTS=3, CACHED_REQUESTS=4)
class Measuring(TestCase):
    @classmethod
    def setUpTestData(cls):
        catalogue.make(100)

    def setUp(self):
        caches["default"].clear()
        caches["other"].clear()

    def test_makes_the_planned_requests_and_reports_each(self):
        for way in WAYS:
            with self.subTest(way=way):
                on_request = mock.Mock()
                measured = measurement.measure(application, "memory", "other", way, on_request)
                self.assertEqual(measured.requests, measurement.planned_requests(way))
                self.assertEqual(on_request.call_count, measured.requests)

    def test_puts_the_page_into_the_cache_that_is_measured(self):
        measurement.measure(application, "memory", "other", "low-level")
        self.assertIn("bestsellers:crime", caches["other"])
        self.assertNotIn("bestsellers:crime", caches["default"])

    def test_a_cached_page_is_measured_without_queries(self):
        for way in WAYS:
            if way != "no-cache":
                with self.subTest(way=way), self.assertNumQueries(2):
                    measurement.measure(application, "memory", "other", way)

    def test_a_page_that_fails_is_an_error(self):
        with self.assertRaisesMessage(measurement.MeasurementError, "404"):
            measurement.get(application, "/nowhere/")

    def test_tells_a_stopped_server_from_a_running_cache(self):
        self.assertIsNone(measurement.why_unreachable("other"))
        self.assertTrue(measurement.why_unreachable("stopped"))


class ServersOfTheProgram(SimpleTestCase):
    def program_settings(self, **servers):
        with tempfile.TemporaryDirectory() as folder, mock.patch.multiple(settings_module, **servers):
            path = demo.settings_for_program(Path(folder))
            return path, path.read_text(encoding="utf-8")

    def test_are_those_of_the_file_if_nothing_else_is_said(self):
        path, _ = self.program_settings(REDIS="redis://127.0.0.1:6379/1", MEMCACHED="127.0.0.1:11211")
        self.assertEqual(path, demo.HERE / "caches.toml")

    def test_are_those_of_the_environment(self):
        path, text = self.program_settings(REDIS="redis://elsewhere:7000/2", MEMCACHED="elsewhere:7001")
        self.assertNotEqual(path, demo.HERE / "caches.toml")
        self.assertIn('LOCATION = "redis://elsewhere:7000/2"', text)
        self.assertIn('LOCATION = "elsewhere:7001"', text)
        self.assertNotIn("127.0.0.1", text)

    @unittest.skipIf(tomllib is None, "Python 3.10 cannot read TOML")
    def test_the_file_says_what_the_settings_say(self):
        expected = tomllib.loads((demo.HERE / "caches.toml").read_text(encoding="utf-8"))
        for alias, variable in (("redis_cache", "BOOKSHOP_REDIS"), ("memcached_cache", "BOOKSHOP_MEMCACHED")):
            expected[alias]["LOCATION"] = os.environ.get(variable, expected[alias]["LOCATION"])
        expected["default"] = expected[os.environ.get("BOOKSHOP_CACHE", "default")]
        self.assertEqual(settings.CACHES, pinyon.django.accelerate(expected))


class Showing(SimpleTestCase):
    def test_the_factor_is_against_the_page_without_a_cache(self):
        shown = demo.table(MEASUREMENTS, WAYS)
        self.assertEqual(list(shown.columns[-1].cells), ["1×", "[bold green]200.0×[/]", "[bold green]50.0×[/]"])

    def test_the_chart_is_a_picture_and_the_same_for_the_same_measurements(self):
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / name for name in ("first.svg", "second.svg")]
            for path in paths:
                chart.draw(MEASUREMENTS, WAYS, path)
            first, second = (path.read_bytes() for path in paths)
        self.assertIn(b"<svg", first)
        self.assertEqual(first, second)


class Serving(TestCase):
    def test_takes_a_free_port_when_its_own_is_taken(self):
        with serving.bind(application) as first, serving.bind(application) as second:
            self.assertNotEqual(first.server_port, second.server_port)
