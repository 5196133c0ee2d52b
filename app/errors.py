"""Every error this product raises on purpose.

AppError
├── NotFound            404  nothing is stored under that name
├── BadInput            422  a value is outside what is accepted; names the place and the remedy
│   └── BadToken        422  a study token that was not minted here
├── Conflict            409  the state moved on; what is stored is shown
├── Forbidden           403  the viewer may not do this, or the request came from another site
├── TooLarge            413  the body, formula or file is over a limit
├── Busy                429  the owner has too much in flight; retry after some seconds
├── Unavailable         503  a part is not ready (pool warming, disk full); retry after some seconds
└── SetupError          exit 1  the environment cannot run the product; says what to do
"""

from __future__ import annotations


class AppError(Exception):
    """An error whose sentence is meant for the reader.

    ``says`` is one or two sentences: what happened, where, what to do next.
    """

    status: int = 500
    title: str = "Something went wrong"
    retry_helps: bool = False

    def __init__(self, says: str, *, where: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(says)
        self.says = says
        self.where = where
        self.retry_after = retry_after


class NotFound(AppError):
    status = 404
    title = "Not here"


class BadInput(AppError):
    status = 422
    title = "That value cannot be used"


class BadToken(BadInput):
    title = "That token was not made here"


class Conflict(AppError):
    status = 409
    title = "Already decided"


class Forbidden(AppError):
    status = 403
    title = "Not allowed"


class TooLarge(AppError):
    status = 413
    title = "Too large"


class Busy(AppError):
    status = 429
    title = "Too many at once"
    retry_helps = True


class Unavailable(AppError):
    status = 503
    title = "Not ready yet"
    retry_helps = True


class SetupError(AppError):
    title = "Cannot start"
