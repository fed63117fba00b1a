"""The bookshop's addresses, the page, and what fills the cache before it is asked for."""

from bookshop.urls import urlpatterns as bookshop
from django.urls import path

from asgi_site import views

urlpatterns = [*bookshop, path("page/<int:visitor>/", views.page), path("fill/", views.fill)]
