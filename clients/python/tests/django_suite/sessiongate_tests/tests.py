"""Django's tests of a session store, for ours."""

from django.test import SimpleTestCase
from sessions_tests.tests import SessionTestsMixin

from sessiongate.django import SessionStore


class SessionGateTests(SessionTestsMixin, SimpleTestCase):
    backend = SessionStore
