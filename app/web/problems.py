"""Errors as answers: problem+json for programs, a calm page or a small fragment for people."""

from __future__ import annotations

import logging
import math
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from app.errors import AppError, BadInput, NotFound
from app.web import render

log = logging.getLogger(__name__)
EXPLAINED = 3


class Problem(JSONResponse):
    media_type = "application/problem+json"


def respond(scope: Scope, error: AppError) -> Response:
    """The answer to one error, in the form that the asker reads."""
    request = Request(scope)
    headers = {} if error.retry_after is None else {"Retry-After": str(max(1, math.ceil(error.retry_after)))}
    if request.url.path.startswith("/api/"):
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": error.title,
            "status": error.status,
            "detail": error.says,
        }
        if error.where:
            body["where"] = error.where
        return Problem(body, status_code=error.status, headers=headers)
    if request.headers.get("hx-request") == "true":
        headers |= {"HX-Retarget": "#problems", "HX-Reswap": "innerHTML"}
        return render.html("_problem.html", {"error": error}, status=error.status, headers=headers)
    return render.html("problem.html", {"error": error, "section": ""}, status=error.status, headers=headers)


def install(app: FastAPI) -> None:
    """Every exception that reaches the border becomes a sentence; what nobody foresaw is logged."""

    async def on_app_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, AppError)
        return respond(request.scope, error)

    async def on_validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return respond(request.scope, BadInput(" ".join(_sentences(error))))

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return respond(request.scope, _from_http(request, error))

    async def on_surprise(request: Request, error: Exception) -> Response:
        log.error("unforeseen error at %s", request.url.path, exc_info=error)
        return respond(
            request.scope, AppError("Something here failed that should not. Nothing you saved was lost; try again.")
        )

    app.add_exception_handler(AppError, on_app_error)
    app.add_exception_handler(RequestValidationError, on_validation)
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(Exception, on_surprise)


def _sentences(error: RequestValidationError) -> list[str]:
    """Place and message only: echoing the input would fail on NaN."""
    return [
        f"{'.'.join(str(part) for part in one['loc'][1:]) or 'body'}: {one['msg']}."
        for one in error.errors()[:EXPLAINED]
    ]


def _from_http(request: Request, error: HTTPException) -> AppError:
    if error.status_code == NotFound.status:
        return NotFound(f"Nothing lives at {request.url.path[:120]}. The deck and the demos are listed in the menu.")
    made = AppError(str(error.detail))
    made.status = error.status_code
    made.title = "That request does not fit"
    return made
