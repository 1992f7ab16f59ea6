"""A small Django site, which test_django.py asks; its session settings are each test's."""

import django
from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    ROOT_URLCONF="django_site",
    SECRET_KEY="the secret key of the tests' site",
    SESSION_ENGINE="sessiongate.django",
    USE_TZ=True,
)
django.setup()

ACTIONS = {}  # what a view does with its request: each test puts its own here


def act(request, name):
    answer = ACTIONS[name](request)
    return answer if isinstance(answer, HttpResponse) else JsonResponse({"answer": answer})


async def aact(request, name):
    return JsonResponse({"answer": await ACTIONS[name](request)})


urlpatterns = [path("async/<name>", aact), path("<name>", act)]
