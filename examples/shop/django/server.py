"""The server: what it counts, and how it is killed."""

import os
import signal
import time

from django.conf import settings
from redis import Redis, RedisError

from api import api, fail

redis = Redis.from_url(settings.SESSIONGATE["LOCATION"], decode_responses=True)


def counters():
    """What Redis counts of sessions, and the number of its process."""
    counts = {"process_id": redis.info("server")["process_id"]}
    for name, count in redis.info("sessiongate").items():
        if isinstance(count, int):
            counts[name.removeprefix("sessiongate_")] = count
    return counts


@api("GET")
def show(request):
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
