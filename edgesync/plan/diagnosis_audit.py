"""What one audit of each site found: orphans and broken copies, and whether edgesync mends them by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from edgesync.domain.image import Image, ImageId
from edgesync.domain.pause import Pause
from edgesync.domain.policy import Repair
from edgesync.domain.site import Defect, Finding
from edgesync.domain.store import StoreId
from edgesync.domain.words import counted, some_of
from edgesync.plan.audit import outlook
from edgesync.plan.diagnosis import Diagnosis, Grade, ok, unknown
from edgesync.plan.wants import Wants

_WORDS = {
    Defect.ORPHAN: ("orphan", "orphans"),
    Defect.NO_IMAGE: ("copy without an RBD image", "copies without an RBD image"),
    Defect.NO_SNAPSHOT: ("copy without a snapshot", "copies without a snapshot"),
    Defect.UNPROTECTED: ("copy whose snapshot is not protected", "copies whose snapshot is not protected"),
    Defect.WRONG_SIZE: ("copy of the wrong size", "copies of the wrong size"),
    Defect.DAMAGED: ("damaged copy", "damaged copies"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Audited:
    """One site's audit."""

    store: StoreId
    findings: Mapping[ImageId, Finding] = field(default_factory=dict)
    # Every RBD image there was looked at.
    complete: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Mending:
    """What the settings and people let edgesync mend."""

    # Orphans go to RBD's trash.
    trashes: bool
    repair: Repair
    wants: Wants
    pauses: tuple[Pause, ...] = ()

    def left_alone(self, finding: Finding) -> str:
        """Why edgesync does not mend it; empty: it does."""
        if any(pause.covers(finding.image, finding.store) for pause in self.pauses):
            return "it is paused"
        if finding.defect is Defect.ORPHAN:
            return "" if self.trashes else "audit.orphans is report"
        want = self.wants.images.get(finding.image)
        opinions = [policy.repair for policy in want.policies if policy.repair is not None] if want else []
        return "" if (opinions or [self.repair])[0] is Repair.FIX else "repair is report"


def judge_audits(
    audits: Iterable[Audited], images: Mapping[ImageId, Image], mending: Mending, *, limit: float
) -> Iterator[Diagnosis]:
    """`limit` is the seconds that all audits had together."""
    for audit in audits:
        if not audit.complete:
            yield unknown(
                "audit",
                f"Not every RBD image could be looked at within {limit:g} s.",
                "The daemon's own audits take the time they need: see `edgesync status`.",
                subject=audit.store,
            )
        elif not audit.findings:
            yield ok("audit", "What Glance says and what lies in the pool agree.", subject=audit.store)
        for findings in _alike(audit.findings.values(), mending):
            yield _told(findings, images, mending)


def _alike(findings: Iterable[Finding], mending: Mending) -> Iterator[list[Finding]]:
    """Those with the same defect and prospects together, so that a thousand of them are few lines."""
    groups: dict[tuple[Defect, bool, bool, str], list[Finding]] = {}
    for finding in sorted(findings, key=lambda finding: finding.image):
        kind = (finding.defect, finding.passing, not finding.obstacle, mending.left_alone(finding))
        groups.setdefault(kind, []).append(finding)
    yield from groups.values()


def _told(findings: list[Finding], images: Mapping[ImageId, Image], mending: Mending) -> Diagnosis:
    first = findings[0]
    names = [_called(finding.image, images) for finding in findings]
    if len(findings) == 1:
        found = f"{names[0]}: {first.detail}"
    else:
        found = f"{counted(len(findings), *_WORDS[first.defect])}: {some_of(names)}"
    return Diagnosis(
        # What passes by itself may be an import under way.
        grade=Grade.WARNING if first.passing else Grade.PROBLEM,
        check="orphan" if first.defect is Defect.ORPHAN else "broken copy",
        subject=first.store,
        found=f"{found}.",
        remedy=_remedy(first, mending),
        details=tuple(
            f"{finding.image} {_called(finding.image, images)}: {finding.detail}; {outlook(finding)}"
            for finding in findings
        ),
    )


def _remedy(finding: Finding, mending: Mending) -> str:
    if finding.passing:
        return f"Left alone as long as {finding.obstacle}; then edgesync looks again by itself."
    if finding.obstacle:
        return f"edgesync does not mend it: {outlook(finding)}."
    if why := mending.left_alone(finding):
        return f"edgesync does not mend it, since {why}; {outlook(finding)}."
    match finding.defect:
        case Defect.ORPHAN:
            return "The daemon moves it to RBD's trash by itself after its next audit, and copies anew what is wanted."
        case Defect.UNPROTECTED:
            return "The daemon protects it again by itself, after its next audit."
        case Defect.DAMAGED:
            return "The daemon makes it good again from the hub's by itself, after its next audit."
        case Defect.NO_SNAPSHOT:
            return (
                "The daemon takes the snapshot by itself where digests prove the copy whole, else takes the location "
                "away and copies the image again, after its next audit."
            )
        case _:
            return "The daemon takes the location away and copies the image again by itself, after its next audit."


def _called(image: ImageId, images: Mapping[ImageId, Image]) -> str:
    known = images.get(image)
    return known.name or image if known else image
