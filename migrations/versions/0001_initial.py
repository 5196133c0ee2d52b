"""initial"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


STATEMENTS = (
    "CREATE VIRTUAL TABLE note_search USING fts5(question, answer, prefix='2 3', tokenize=\"unicode61 remove_diacritics 2\")",
    "CREATE TRIGGER review_is_not_changed BEFORE UPDATE ON review BEGIN SELECT RAISE(ABORT, 'a review is never changed'); END",
    "CREATE TRIGGER review_is_not_deleted BEFORE DELETE ON review WHEN NOT EXISTS (SELECT 1 FROM erasure WHERE user_id = OLD.user_id AND open IS NOT NULL) BEGIN SELECT RAISE(ABORT, 'a review is deleted only with an erasure of its learner'); END",
    "CREATE TRIGGER review_is_not_replaced BEFORE INSERT ON review WHEN EXISTS (SELECT 1 FROM review WHERE id = NEW.id OR token = NEW.token OR undoes = NEW.undoes) BEGIN SELECT RAISE(ABORT, 'a review is never replaced'); END",
    "CREATE TRIGGER scheduler_parameters_are_not_changed BEFORE UPDATE ON scheduler_parameters BEGIN SELECT RAISE(ABORT, 'scheduler parameters are never changed'); END",
    "CREATE TRIGGER scheduler_parameters_are_not_deleted BEFORE DELETE ON scheduler_parameters BEGIN SELECT RAISE(ABORT, 'scheduler parameters are never deleted'); END",
    "CREATE TRIGGER scheduler_parameters_are_not_replaced BEFORE INSERT ON scheduler_parameters WHEN EXISTS (SELECT 1 FROM scheduler_parameters WHERE id = NEW.id OR digest = NEW.digest) BEGIN SELECT RAISE(ABORT, 'scheduler parameters are never replaced'); END",
    "CREATE TRIGGER erasure_seal_stays_empty BEFORE INSERT ON erasure_seal BEGIN SELECT RAISE(ABORT, 'the seal of erasures stays empty'); END",
    "CREATE TRIGGER erasure_is_not_deleted BEFORE DELETE ON erasure BEGIN SELECT RAISE(ABORT, 'a record of an erasure is never deleted'); END",
    "CREATE TRIGGER erasure_is_only_closed BEFORE UPDATE ON erasure WHEN OLD.open IS NULL OR NEW.open NOT NULL BEGIN SELECT RAISE(ABORT, 'an erasure is only closed'); END",
    "CREATE TRIGGER note_is_placed AFTER INSERT ON note BEGIN INSERT INTO deck_stamp (id, version) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET version = version + 1; END",
    "CREATE TRIGGER note_moves AFTER UPDATE OF position, archived_at ON note BEGIN INSERT INTO deck_stamp (id, version) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET version = version + 1; END",
    "CREATE TRIGGER card_comes AFTER INSERT ON card BEGIN INSERT INTO deck_stamp (id, version) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET version = version + 1; END",
    "CREATE TRIGGER card_moves AFTER UPDATE OF position, archived_at, note_id ON card BEGIN INSERT INTO deck_stamp (id, version) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET version = version + 1; END",
    "CREATE TRIGGER memory_goes AFTER DELETE ON memory BEGIN INSERT INTO deck_stamp (id, version) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET version = version + 1; END",
)


def upgrade() -> None:
    op.create_table(
        "deck_stamp",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deck_stamp")),
    )
    op.create_table(
        "demo",
        sa.Column("slug", sa.String(length=80), nullable=False),
        sa.Column("topic", sa.String(length=80), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("explanation_html", sa.String(), nullable=False),
        sa.Column("source_note", sa.String(), nullable=False),
        sa.Column("source_html", sa.String(), nullable=False),
        sa.Column("schema", sa.JSON(), nullable=False),
        sa.Column("teaching", sa.JSON(), nullable=False),
        sa.Column("version", sa.String(length=12), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("slug", name=op.f("pk_demo")),
    )
    op.create_table(
        "erasure_seal",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure_seal")),
    )
    op.create_table(
        "import_batch",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Integer(), nullable=False),
        sa.Column("undone_at", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import_batch")),
    )
    op.create_table(
        "note",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("slug", sa.String(), nullable=False),
        sa.Column("topic", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("difficulty", sa.Integer(), nullable=False),
        sa.Column("demo", sa.String(), nullable=True),
        sa.Column("preset", sa.String(), nullable=True),
        sa.Column("path", sa.String(), nullable=True),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("front", sa.JSON(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=True),
        sa.Column("archived_at", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_note")),
        sa.UniqueConstraint("slug", name=op.f("uq_note_slug")),
    )
    with op.batch_alter_table("note", schema=None) as batch_op:
        batch_op.create_index("ix_note_path", ["path"], unique=False)
        batch_op.create_index("ix_note_position", ["position"], unique=False)
        batch_op.create_index("ix_note_topic_position", ["topic", "position"], unique=False)

    op.create_table(
        "scheduler_parameters",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("weights", sa.JSON(), nullable=False),
        sa.Column("desired_retention", sa.Double(), nullable=False),
        sa.Column("learning_steps_seconds", sa.JSON(), nullable=False),
        sa.Column("relearning_steps_seconds", sa.JSON(), nullable=False),
        sa.Column("maximum_interval_days", sa.Integer(), nullable=False),
        sa.Column("fuzz", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scheduler_parameters")),
        sa.UniqueConstraint("digest", name=op.f("uq_scheduler_parameters_digest")),
    )
    op.create_table(
        "user",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("created_at", sa.Integer(), nullable=False),
        sa.CheckConstraint("role IN ('learner', 'editor', 'admin')", name=op.f("ck_user_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user")),
    )
    op.create_table(
        "card",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("note_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("archived_at", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["note_id"], ["note.id"], name=op.f("fk_card_note_id_note")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_card")),
        sa.UniqueConstraint("key", name=op.f("uq_card_key")),
    )
    with op.batch_alter_table("card", schema=None) as batch_op:
        batch_op.create_index("ix_card_note_id", ["note_id"], unique=False)

    op.create_table(
        "claim_outcome",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("note_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("verdict", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("came_out", sa.String(), nullable=True),
        sa.Column("says", sa.String(), nullable=False),
        sa.Column("measured", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("device", sa.String(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("ran_at", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["note_id"], ["note.id"], name=op.f("fk_claim_outcome_note_id_note")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_claim_outcome")),
        sa.UniqueConstraint("note_id", "number", name=op.f("uq_claim_outcome_note_id_number")),
    )
    op.create_table(
        "daily",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("study_day", sa.Integer(), nullable=False),
        sa.Column("reviews", sa.Integer(), nullable=False),
        sa.Column("again", sa.Integer(), nullable=False),
        sa.Column("new_cards", sa.Integer(), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_daily_user_id_user")),
        sa.PrimaryKeyConstraint("user_id", "study_day", name=op.f("pk_daily")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "draft",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("batch_id", sa.Integer(), nullable=False),
        sa.Column("note_id", sa.Integer(), nullable=True),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("question", sa.String(), nullable=False),
        sa.Column("answer", sa.String(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("end_line", sa.Integer(), nullable=False),
        sa.Column("question_html", sa.String(), nullable=False),
        sa.Column("answer_html", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["import_batch.id"], name=op.f("fk_draft_batch_id_import_batch")),
        sa.ForeignKeyConstraint(["note_id"], ["note.id"], name=op.f("fk_draft_note_id_note")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_draft")),
    )
    with op.batch_alter_table("draft", schema=None) as batch_op:
        batch_op.create_index("ix_draft_batch_id", ["batch_id"], unique=False)
        batch_op.create_index("ix_draft_state", ["state"], unique=False)

    op.create_table(
        "erasure",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.Integer(), nullable=False),
        sa.Column("reviews", sa.Integer(), nullable=False),
        sa.Column("open", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["open"],
            ["erasure_seal.id"],
            name=op.f("fk_erasure_open_erasure_seal"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure")),
    )
    op.create_table(
        "note_version",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("note_id", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("created_at", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["note_id"], ["note.id"], name=op.f("fk_note_version_note_id_note")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_note_version")),
    )
    with op.batch_alter_table("note_version", schema=None) as batch_op:
        batch_op.create_index("ix_note_version_note_id", ["note_id"], unique=False)

    op.create_table(
        "rendering",
        sa.Column("note_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content_hash", sa.String(), nullable=False),
        sa.Column("renderer_version", sa.String(), nullable=False),
        sa.Column("question_html", sa.String(), nullable=False),
        sa.Column("setting_html", sa.String(), nullable=False),
        sa.Column("answer_html", sa.String(), nullable=False),
        sa.Column("key_points", sa.JSON(), nullable=False),
        sa.Column("follow_ups", sa.JSON(), nullable=False),
        sa.Column("misconceptions", sa.JSON(), nullable=False),
        sa.Column("claims", sa.JSON(), nullable=False),
        sa.Column("sources", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["note_id"], ["note.id"], name=op.f("fk_rendering_note_id_note")),
        sa.PrimaryKeyConstraint("note_id", name=op.f("pk_rendering")),
    )
    op.create_table(
        "stored_run",
        sa.Column("demo_slug", sa.String(length=80), nullable=False),
        sa.Column("preset", sa.String(length=120), nullable=False),
        sa.Column("version", sa.String(length=12), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("ran_at", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["demo_slug"], ["demo.slug"], name=op.f("fk_stored_run_demo_slug_demo")),
        sa.PrimaryKeyConstraint("demo_slug", "preset", name=op.f("pk_stored_run")),
    )
    op.create_table(
        "study_setting",
        sa.Column("user_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("parameters_id", sa.Integer(), nullable=False),
        sa.Column("time_zone", sa.String(), nullable=True),
        sa.Column("rollover_hour", sa.Integer(), nullable=False),
        sa.Column("new_cards_per_day", sa.Integer(), nullable=False),
        sa.Column("interview_day", sa.Integer(), nullable=True),
        sa.Column("minutes_a_day", sa.Integer(), nullable=True),
        sa.Column("keys_on", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["parameters_id"],
            ["scheduler_parameters.id"],
            name=op.f("fk_study_setting_parameters_id_scheduler_parameters"),
        ),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_study_setting_user_id_user")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_study_setting")),
    )
    op.create_table(
        "card_mark",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("card_id", sa.Integer(), nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.Column("buried_day", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["card_id"], ["card.id"], name=op.f("fk_card_mark_card_id_card")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_card_mark_user_id_user")),
        sa.PrimaryKeyConstraint("user_id", "card_id", name=op.f("pk_card_mark")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "memory",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("card_id", sa.Integer(), nullable=False),
        sa.Column("phase", sa.String(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("stability", sa.Double(), nullable=True),
        sa.Column("difficulty", sa.Double(), nullable=True),
        sa.Column("due_day", sa.Integer(), nullable=True),
        sa.Column("due_at_ms", sa.Integer(), nullable=True),
        sa.Column("last_day", sa.Integer(), nullable=True),
        sa.Column("last_at_ms", sa.Integer(), nullable=True),
        sa.Column("repetitions", sa.Integer(), nullable=False),
        sa.Column("lapses", sa.Integer(), nullable=False),
        sa.Column("basis_event_id", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["card_id"], ["card.id"], name=op.f("fk_memory_card_id_card")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_memory_user_id_user")),
        sa.PrimaryKeyConstraint("user_id", "card_id", name=op.f("pk_memory")),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("memory", schema=None) as batch_op:
        batch_op.create_index(
            "ix_memory_reviews",
            ["user_id", "due_day", "last_day", "stability"],
            unique=False,
            sqlite_where=sa.text("phase = 'review'"),
        )
        batch_op.create_index(
            "ix_memory_steps",
            ["user_id", "due_day", "due_at_ms"],
            unique=False,
            sqlite_where=sa.text("phase IN ('learning', 'relearning')"),
        )
        batch_op.create_index("ix_memory_undone", ["user_id"], unique=False, sqlite_where=sa.text("phase = 'new'"))

    op.create_table(
        "prediction",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("card_id", sa.Integer(), nullable=True),
        sa.Column("demo", sa.String(), nullable=False),
        sa.Column("preset", sa.String(), nullable=False),
        sa.Column("knobs", sa.JSON(), nullable=False),
        sa.Column("answer", sa.String(), nullable=False),
        sa.Column("value", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("skipped", sa.Boolean(), nullable=False),
        sa.Column("measured", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("correct", sa.Boolean(), nullable=True),
        sa.Column("error", sa.Double(), nullable=True),
        sa.Column("band", sa.Double(), nullable=True),
        sa.Column("misconception", sa.String(), nullable=True),
        sa.Column("suggested_rating", sa.Integer(), nullable=True),
        sa.Column("result", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["card_id"], ["card.id"], name=op.f("fk_prediction_card_id_card")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_prediction_user_id_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prediction")),
        sa.UniqueConstraint("token", name=op.f("uq_prediction_token")),
    )
    with op.batch_alter_table("prediction", schema=None) as batch_op:
        batch_op.create_index("ix_prediction_user_id", ["user_id", "demo", "preset"], unique=False)

    op.create_table(
        "review",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("card_id", sa.Integer(), nullable=False),
        sa.Column("token", sa.LargeBinary(), nullable=True),
        sa.Column("rating", sa.Integer(), nullable=True),
        sa.Column("at_ms", sa.Integer(), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("study_day", sa.Integer(), nullable=False),
        sa.Column("utc_offset_seconds", sa.Integer(), nullable=False),
        sa.Column("parameters_id", sa.Integer(), nullable=False),
        sa.Column("fuzz_seed", sa.Integer(), nullable=False),
        sa.Column("not_after_day", sa.Integer(), nullable=True),
        sa.Column("note_version_id", sa.Integer(), nullable=True),
        sa.Column("suggested_rating", sa.Integer(), nullable=True),
        sa.Column("prediction_id", sa.Integer(), nullable=True),
        sa.Column("ticks", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("undoes", sa.Integer(), nullable=True),
        sa.CheckConstraint(
            "CASE kind WHEN 'grade' THEN rating BETWEEN 1 AND 4 AND token IS NOT NULL AND undoes IS NULL WHEN 'known' THEN rating IS NULL AND token IS NOT NULL AND undoes IS NULL WHEN 'undo' THEN rating IS NULL AND token IS NULL AND undoes IS NOT NULL ELSE FALSE END",
            name=op.f("ck_review_kind"),
        ),
        sa.ForeignKeyConstraint(["card_id"], ["card.id"], name=op.f("fk_review_card_id_card")),
        sa.ForeignKeyConstraint(
            ["note_version_id"], ["note_version.id"], name=op.f("fk_review_note_version_id_note_version")
        ),
        sa.ForeignKeyConstraint(
            ["parameters_id"], ["scheduler_parameters.id"], name=op.f("fk_review_parameters_id_scheduler_parameters")
        ),
        sa.ForeignKeyConstraint(["prediction_id"], ["prediction.id"], name=op.f("fk_review_prediction_id_prediction")),
        sa.ForeignKeyConstraint(["undoes"], ["review.id"], name=op.f("fk_review_undoes_review")),
        sa.ForeignKeyConstraint(["user_id"], ["user.id"], name=op.f("fk_review_user_id_user")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("review", schema=None) as batch_op:
        batch_op.create_index("ix_review_user_id", ["user_id"], unique=False)
        batch_op.create_index("ix_review_user_id_card_id", ["user_id", "card_id"], unique=False)
        batch_op.create_index("uq_review_token", ["token"], unique=True, sqlite_where=sa.text("token IS NOT NULL"))
        batch_op.create_index("uq_review_undoes", ["undoes"], unique=True, sqlite_where=sa.text("undoes IS NOT NULL"))
    for statement in STATEMENTS:
        op.execute(statement)
    op.execute("INSERT INTO user (id, name, role, created_at) VALUES (1, 'You', 'admin', unixepoch() * 1000)")


def downgrade() -> None:
    op.execute("DROP TABLE note_search")
    with op.batch_alter_table("review", schema=None) as batch_op:
        batch_op.drop_index("uq_review_undoes", sqlite_where=sa.text("undoes IS NOT NULL"))
        batch_op.drop_index("uq_review_token", sqlite_where=sa.text("token IS NOT NULL"))
        batch_op.drop_index("ix_review_user_id_card_id")
        batch_op.drop_index("ix_review_user_id")

    op.drop_table("review")
    with op.batch_alter_table("prediction", schema=None) as batch_op:
        batch_op.drop_index("ix_prediction_user_id")

    op.drop_table("prediction")
    with op.batch_alter_table("memory", schema=None) as batch_op:
        batch_op.drop_index("ix_memory_undone", sqlite_where=sa.text("phase = 'new'"))
        batch_op.drop_index("ix_memory_steps", sqlite_where=sa.text("phase IN ('learning', 'relearning')"))
        batch_op.drop_index("ix_memory_reviews", sqlite_where=sa.text("phase = 'review'"))

    op.drop_table("memory")
    op.drop_table("card_mark")
    op.drop_table("study_setting")
    op.drop_table("stored_run")
    op.drop_table("rendering")
    with op.batch_alter_table("note_version", schema=None) as batch_op:
        batch_op.drop_index("ix_note_version_note_id")

    op.drop_table("note_version")
    op.drop_table("erasure")
    with op.batch_alter_table("draft", schema=None) as batch_op:
        batch_op.drop_index("ix_draft_state")
        batch_op.drop_index("ix_draft_batch_id")

    op.drop_table("draft")
    op.drop_table("daily")
    op.drop_table("claim_outcome")
    with op.batch_alter_table("card", schema=None) as batch_op:
        batch_op.drop_index("ix_card_note_id")

    op.drop_table("card")
    op.drop_table("user")
    op.drop_table("scheduler_parameters")
    with op.batch_alter_table("note", schema=None) as batch_op:
        batch_op.drop_index("ix_note_topic_position")
        batch_op.drop_index("ix_note_position")
        batch_op.drop_index("ix_note_path")

    op.drop_table("note")
    op.drop_table("import_batch")
    op.drop_table("erasure_seal")
    op.drop_table("demo")
    op.drop_table("deck_stamp")
