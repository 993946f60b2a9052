"""What `doctor` says: one record for each thing that was looked at, and how bad it is.

The modules `diagnosis_*` turn facts into these; they look at nothing themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from edgesync.errors import ConfigError, EdgesyncError


class Grade(StrEnum):
    """How bad it is, the worst first."""

    # Copies fail, wait or can't be booted from because of it, now or at the next step.
    PROBLEM = "problem"
    # Nothing fails because of it yet, or something works with less than it could.
    WARNING = "warning"
    # It could not be looked at.
    UNKNOWN = "unknown"
    OK = "ok"


_RANK = {grade: rank for rank, grade in enumerate(Grade)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """What was looked at, what was found, what a person can do."""

    grade: Grade
    # What was looked at, in a word or two: `log-in`, `clock`, `site`.
    check: str
    # Sentences.
    found: str
    remedy: str = ""
    # A store, a policy, a service; empty when it is about the whole.
    subject: str = ""
    # All of what `found` names only some of.
    details: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return f"{self.check} {self.subject}".rstrip()


def ok(check: str, found: str, *, subject: str = "", details: Sequence[str] = ()) -> Diagnosis:
    return Diagnosis(grade=Grade.OK, check=check, found=found, subject=subject, details=tuple(details))


def warning(check: str, found: str, remedy: str, *, subject: str = "", details: Sequence[str] = ()) -> Diagnosis:
    return Diagnosis(
        grade=Grade.WARNING, check=check, found=found, remedy=remedy, subject=subject, details=tuple(details)
    )


def problem(check: str, found: str, remedy: str, *, subject: str = "", details: Sequence[str] = ()) -> Diagnosis:
    return Diagnosis(
        grade=Grade.PROBLEM, check=check, found=found, remedy=remedy, subject=subject, details=tuple(details)
    )


def unknown(check: str, found: str, remedy: str = "", *, subject: str = "") -> Diagnosis:
    return Diagnosis(grade=Grade.UNKNOWN, check=check, found=found, remedy=remedy, subject=subject)


def failed(check: str, error: EdgesyncError, *, subject: str = "") -> Diagnosis:
    """An error is a problem when looking is what the daemon does all day."""
    return problem(check, said(error), error.remedy, subject=subject)


def not_seen(check: str, error: EdgesyncError, *, subject: str = "") -> Diagnosis:
    """An error leaves unknown what only `doctor` looks at."""
    return unknown(check, said(error), error.remedy, subject=subject)


def said(error: EdgesyncError) -> str:
    """The error as one sentence; a refused configuration has a line for each mistake."""
    return "; ".join(error.problems) if isinstance(error, ConfigError) else error.message


def ordered(diagnoses: Iterable[Diagnosis]) -> tuple[Diagnosis, ...]:
    """The worst first, else in the order in which they came."""
    return tuple(sorted(diagnoses, key=lambda diagnosis: _RANK[diagnosis.grade]))


def size(number: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:.4g} {unit}"
        number /= 1024
    return f"{number:.4g} TiB"
