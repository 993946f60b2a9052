"""Since when copies have been missing."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "gaps",
        sa.Column("image_id", sa.Text, primary_key=True),
        sa.Column("epochs", sa.Text, nullable=False),
    )


def downgrade() -> None:
    """Back to 0003: each start counts anew, as far as open jobs and failures don't tell."""
    op.drop_table("gaps")
