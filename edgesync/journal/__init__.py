"""The durable record, in SQLite or PostgreSQL: jobs, attempts, failures, who had copies made, pauses,
what is known of images' blocks, since when copies have been missing, history.

`open_journal` is the way in. Each method of what it returns is one transaction, and one write happens at a time on
either database, so no statement has to think about another that runs beside it. `look_at` and `roll_back` are for who
looks after the journal itself.

Forbidden here: decisions about what to copy or when to try again, clocks (every time is handed in, but for when the
claim was made), and text that only one of the two databases understands outside `engine`, `claim` and `faults`.
"""

from edgesync.journal.facts import Facts, look_at
from edgesync.journal.migrate import Revision, revisions
from edgesync.journal.opening import open_journal
from edgesync.journal.rollback import Loss, Rollback, roll_back
from edgesync.journal.store import SqlJournal

__all__ = ["Facts", "Loss", "Revision", "Rollback", "SqlJournal", "look_at", "open_journal", "revisions", "roll_back"]
