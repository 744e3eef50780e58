"""Settings for Django 3.2 (Debian 12) and 4.2 (Debian 13). Loopback only, no sessions, no users.

SHOP_DB names the sqlite file; without it, shop.sqlite3 beside manage.py. SHOP_OFFERS=1 puts on what is in OFFERS; it brings
a fault to light that ../../find-a-wrong-total.md is about.
"""
import os
import secrets
from pathlib import Path

BASE_DIR = Path(__file__).resolve().parent.parent

# Nothing is signed with it that has to outlive the process.
SECRET_KEY = secrets.token_urlsafe(50)
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]

INSTALLED_APPS = ["shop"]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.gzip.GZipMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.http.ConditionalGetMiddleware",
]
ROOT_URLCONF = "shop.urls"
WSGI_APPLICATION = "shop.wsgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {"context_processors": ["shop.context.navigation"]},
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("SHOP_DB", str(BASE_DIR / "shop.sqlite3")),
        "CONN_MAX_AGE": None,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
LANGUAGE_CODE = "en-gb"
# For each country, (from this many pieces on, percent off), for who gets no other discount.
OFFERS = {"NL": [(1, 3)]} if os.environ.get("SHOP_OFFERS") == "1" else {}
