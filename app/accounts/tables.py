"""Who studies here. An installation without accounts has one row, user 1, made by the migration."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from app.db import Base, Moment


class User(Base):
    """``role`` is one of `app.viewer.Role`."""

    __tablename__ = "user"
    __table_args__ = (CheckConstraint("role IN ('learner', 'editor', 'admin')", name="role"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    role: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(Moment)
