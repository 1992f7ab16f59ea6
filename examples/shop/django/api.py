"""JSON in and out."""

import functools
import json

from django.core.exceptions import RequestDataTooBig
from django.http import JsonResponse


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
                # Another site's form cannot send this type: no request of another site does anything here.
                if request.content_type != "application/json":
                    return fail(415, "send application/json")
                try:
                    arguments["data"] = {**json.loads(request.body or "{}")}
                except (ValueError, TypeError, RequestDataTooBig):
                    return fail(400, "this body is not read")
            if logged_in and not request.user.is_authenticated:
                return fail(401, "log in first")
            answer = view(request, **arguments)
            response = answer if isinstance(answer, JsonResponse) else JsonResponse(answer, safe=False)
            response["Cache-Control"] = "no-store"
            return response

        return checked

    return decorate
