"""Alembic's entry: runs on the connection that `app.migrating` hands over."""

from __future__ import annotations

from alembic import context

from app.accounts import tables as accounts
from app.cards import tables as cards
from app.db import Base
from app.demos import tables as demos
from app.study import tables as study

KNOWN = (accounts, cards, demos, study)

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
