"""Who moves the data of a copy, digests of images, verifications of copies."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from edgesync.journal.migrations.forgetting import forget_events, forget_works

revision = "0003"
down_revision = "0002"

_MOMENT = sa.DateTime(timezone=True)
# Words that came with this schema: who knows only 0002 refuses to read a journal that has one of them.
_NEW_WORK = ("seal", "sweep", "renew", "verify")
_NEW_EVENTS = ("copy-planned", "copy-verified", "verification-failed", "disk-cloned", "flatten-asked", "upload-started")


def upgrade() -> None:
    # In place, with defaults that stay: see 0002. What was copied so far, Glance has copied.
    op.add_column("jobs", sa.Column("engine", sa.Text, nullable=False, server_default="auto"))
    op.add_column("attempts", sa.Column("engine", sa.Text, nullable=False, server_default="copy-image"))
    for flag in ("deep", "mend"):
        op.add_column("jobs", sa.Column(flag, sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "digests",
        sa.Column("image_id", sa.Text, primary_key=True),
        sa.Column("hash_algo", sa.Text, nullable=False),
        sa.Column("hash_value", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("block", sa.BigInteger, nullable=False),
        sa.Column("packed", sa.LargeBinary, nullable=False),
        sa.Column("kept_at", _MOMENT),
    )
    op.create_table(
        "verifications",
        sa.Column("image_id", sa.Text, primary_key=True),
        sa.Column("store_id", sa.Text, primary_key=True),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("sound", sa.Boolean, nullable=False),
        sa.Column("damage", sa.Text, nullable=False),
        sa.Column("rbd_id", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Back to 0002: what was known of blocks is lost, and can be found out anew; so is what only the newer can do.

    New results are in jobs of new work only. A repair that a person's verification leads goes with it: whoever comes
    next finds what is to be mended anew.
    """
    forget_works(_NEW_WORK)
    forget_events(_NEW_EVENTS)
    op.drop_table("verifications")
    op.drop_table("digests")
    # Dropped in place as well: a copied table would take the rows that belong to the old one with it.
    for flag in ("deep", "mend"):
        op.drop_column("jobs", flag)
    for table in ("attempts", "jobs"):
        op.drop_column(table, "engine")
