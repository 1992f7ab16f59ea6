"""The settings under which Django's own tests run on our engine; see test_django_suite.py."""

import json
import os

from test_sqlite import *  # noqa: F403 - Django's own settings for its tests

SESSION_ENGINE = "sessiongate.django"
SESSIONGATE = json.loads(os.environ["SESSIONGATE"])
