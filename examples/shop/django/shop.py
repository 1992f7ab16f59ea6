"""The shop on Django. ../README.md has the API; ./run.sh --shop django starts it."""

import json
import re
import time
import uuid
from pathlib import Path

from django.contrib.auth import get_user_model, login, logout
from django.contrib.sessions.backends.base import UpdateError
from django.http import FileResponse
from django.urls import path
from sessiongate import NoPayload, NoSession
from sessiongate.django import end_session, end_sessions, gate, sessions_of

import server
from api import api, fail

GOODS = ["tea", "coffee", "honey", "cup"]
CART_LIMIT = 100
PAGE = Path(__file__).parents[1] / "page"


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
    except NoPayload:  # another request got it
        pass
    except NoSession:
        token = None
    cart = {item: goods.count(item) for item in goods}
    return {"user": user, "cart": cart, "flash": flash, "ttl": ttl, "token": token and token[:10]}


@api("GET")
def payloads(request):
    if request.session.is_empty():
        return []
    return [
        {"name": name.decode(), "bytes": len(data)}
        for name, data in gate().pgetall(request.session.session_key).items()
    ]


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
    return [
        {
            "id": device.id,
            "current": device.current,
            "started": round(device.started.timestamp() * 1000),
            "agent": device.payloads.get("agent"),
        }
        for device in sessions_of(request.user, current=request.session)
    ]


@api("POST", logged_in=True)
def end_device(request, data, id):
    return {"answer": "OK"} if end_session(request.user, id) else fail(404, "you have no such device")


@api("POST", logged_in=True)
def end_others(request, data):
    return {"ended": end_sessions(request.user, keep=request.session)}


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
    path("api/server", server.show),
    path("api/kill", server.kill),
]
