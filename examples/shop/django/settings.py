"""Django's settings for the shop."""

import os

SECRET_KEY = os.environ["SIGN_KEY"]
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
ROOT_URLCONF = "shop"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{os.environ['SHOP_DIR']}/shop.db"}}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 1000

SESSION_ENGINE = "sessiongate.django"
SESSIONGATE = {"LOCATION": f"redis://127.0.0.1:{os.environ['REDIS_PORT']}", "REFRESH": 5, "LIMIT": 5}
SESSION_COOKIE_NAME = "session"
SESSION_COOKIE_AGE = 600
SESSION_COOKIE_SECURE = False  # True where there is TLS
