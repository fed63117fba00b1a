"""The bookshop's addresses, the page for each kind of server, and what fills the cache before they are asked for."""

from bookshop.urls import urlpatterns as bookshop
from django.urls import path

from bench.site import views

urlpatterns = [
    *bookshop,
    path("page/async/<int:visitor>/", views.async_page),
    path("page/sync/<int:visitor>/", views.sync_page),
    path("fill/", views.fill),
]
