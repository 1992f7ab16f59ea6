"""The shop on Django. ../README.md has the API; ./run.sh --shop django starts it."""

import functools
import json
import os
import re
import signal
import time
import uuid
from pathlib import Path

import django
from django.conf import settings
from redis import Redis, RedisError

REDIS = f"redis://127.0.0.1:{os.environ['REDIS_PORT']}"
settings.configure(
    SECRET_KEY=os.environ["SIGN_KEY"],
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{os.environ['SHOP_DIR']}/shop.db"}},
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
    SESSION_ENGINE="sessiongate.django",
    SESSIONGATE={"LOCATION": REDIS, "REFRESH": 5, "LIMIT": 5},
    SESSION_COOKIE_NAME="session",
    SESSION_COOKIE_AGE=600,
    SESSION_EXPIRE_AT_BROWSER_CLOSE=False,
    SESSION_COOKIE_SECURE=False,  # True where there is TLS
    DATA_UPLOAD_MAX_MEMORY_SIZE=1000,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    USE_TZ=True,
)
django.setup()

from django.contrib.auth import get_user_model, login, logout  # noqa: E402
from django.contrib.sessions.backends.base import UpdateError  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import FileResponse, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402
from sessiongate import NoPayload, NoSession  # noqa: E402
from sessiongate.django import end_session, end_sessions, gate, sessions_of  # noqa: E402

GOODS = ["tea", "coffee", "honey", "cup"]
CART_LIMIT = 100
PAGE = Path(__file__).parents[1] / "page"
redis = Redis.from_url(REDIS, decode_responses=True)


def fail(status, error):
    return JsonResponse({"error": error}, status=status)


def api(method, *, logged_in=False):
    """A view that answers with JSON; what a POST has sent is its `data`."""

    def decorate(view):
        @functools.wraps(view)
        def checked(request, **arguments):
            if request.method != method:
                return fail(405, f"this takes a {method}")
            if method == "POST":
                # Nor can another site's form send this type, so no request of another site does anything here.
                if request.content_type != "application/json":
                    return fail(415, "send application/json")
                try:
                    arguments["data"] = {**json.loads(request.body)}
                except (ValueError, TypeError):
                    return fail(400, "this body is not read")
            if logged_in and not request.user.is_authenticated:
                return fail(401, "log in first")
            answer = view(request, **arguments)
            response = answer if isinstance(answer, JsonResponse) else JsonResponse(answer, safe=False)
            response["Cache-Control"] = "no-store"
            return response

        return checked

    return decorate


def goods_of(session):
    """The goods in the cart: each is a payload of its own, so that parallel requests lose none."""
    return [item for name, item in session.items() if name.startswith("item:")]


@api("GET")
def session(request):
    token, flash, ttl = request.session.session_key, None, None
    goods = goods_of(request.session)
    user = request.user.get_username() or None
    try:
        ttl = gate().ttl(token) if token else None
        if "flash" in request.session:  # popped: of all who ask, one gets it
            flash = json.loads(gate().ppop(token, "flash"))
    except (NoSession, NoPayload):
        pass
    cart = {item: goods.count(item) for item in goods}
    return {"user": user, "cart": cart, "flash": flash, "ttl": ttl, "token": token[:10] if ttl is not None else None}


@api("GET")
def payloads(request):
    if request.session.is_empty():
        return []
    return [{"name": name.decode(), "bytes": len(data)}
            for name, data in gate().pgetall(request.session.session_key).items()]


@api("POST")
def add(request, data):
    if data.get("item") not in GOODS:
        return fail(400, f"item is one of {', '.join(GOODS)}")
    if len(goods_of(request.session)) >= CART_LIMIT:
        return fail(409, "the cart is full")
    if data.get("slow"):
        if request.session.is_empty():
            return {"answer": "NOSESSION"}
        time.sleep(1)  # time for another request, between what this one has read and what it writes
    request.session[f"item:{uuid.uuid4().hex[:8]}"] = data["item"]
    try:
        request.session.save()
    except UpdateError:  # it was ended meanwhile
        request.session.modified = False  # so the middleware need not try again
        return {"answer": "NOSESSION"}
    return {"answer": "OK"}


@api("POST")
def log_in(request, data):
    name = data.get("user")
    if not isinstance(name, str) or not re.fullmatch("[A-Za-z]{1,20}", name):
        return fail(400, "user is 1 to 20 letters")
    if data.get("password") != "demo":
        return fail(401, "the password is demo")
    if request.user.is_authenticated:
        return fail(409, "log out first")
    user, _ = get_user_model().objects.get_or_create(username=name)
    request.session["agent"] = request.headers.get("User-Agent", "")[:200]
    request.session["flash"] = f"Welcome, {name}"
    login(request, user)  # a new token, a session of the user's; the cart comes along
    return {"answer": "OK"}


@api("POST")
def log_out(request, data):
    logout(request)
    return {"answer": "OK"}


@api("GET", logged_in=True)
def devices(request):
    return [{"id": device.id, "current": device.current, "started": round(device.started.timestamp() * 1000),
             "agent": device.payloads.get("agent")}
            for device in sessions_of(request.user, current=request.session)]


@api("POST", logged_in=True)
def end_device(request, data, id):
    return {"answer": "OK"} if end_session(request.user, id) else fail(404, "you have no such device")


@api("POST", logged_in=True)
def end_others(request, data):
    return {"ended": end_sessions(request.user, keep=request.session)}


def counters():
    """What Redis counts of sessions, and the number of its process."""
    counts = redis.info("sessiongate")
    counts = {name.removeprefix("sessiongate_"): count for name, count in counts.items() if isinstance(count, int)}
    return {"process_id": redis.info("server")["process_id"], **counts}


@api("GET")
def server(request):
    return counters()


@api("POST")
def kill(request, data):
    if "RUN_SH_PID" not in os.environ:
        return fail(404, "only run.sh can start Redis again")
    before = counters()["process_id"]
    os.kill(int(os.environ["RUN_SH_PID"]), signal.SIGUSR1)  # asks run.sh for kill -9 and a start
    for _ in range(100):
        time.sleep(0.1)
        try:
            after = counters()["process_id"]
        except RedisError:  # not yet
            continue
        if after != before:
            return {"before": before, "after": after}
    return fail(503, "Redis is not back after ten seconds")


def page(request, name="index.html"):
    return FileResponse(open(PAGE / name, "rb"))  # Django closes it


def handler500(request):
    return fail(503, "there are no sessions now")


urlpatterns = [
    path("", page),
    *(path(file.name, page, {"name": file.name}) for file in PAGE.iterdir()),
    path("api/session", session),
    path("api/payloads", payloads),
    path("api/cart", add),
    path("api/login", log_in),
    path("api/logout", log_out),
    path("api/devices", devices),
    path("api/devices/end-others", end_others),
    path("api/devices/<id>/end", end_device),
    path("api/server", server),
    path("api/kill", kill),
]

if __name__ == "__main__":
    call_command("migrate", verbosity=0)
    call_command("runserver", f"127.0.0.1:{os.environ['PORT']}", use_reloader=False)
