"""The template of T-050-003 as a controlled document (SP-08, SP-29, SP-30).

Which versions there are stands in `pdf/templates/registry.json`. Approvals come from there or,
where they are given while the software runs, from the caller. Here are the rules: author, then
reviewer, then approver, each in another role, none before the other, all for the same commit.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple
from functools import cache
from importlib import resources
from itertools import pairwise

from pydantic import SecretStr

from pdf.blocks import Document
from pdf.catalogue import languages
from pdf.content import document
from pdf.record import Approval, Frozen, Profile, RecordInput
from pdf.specimen import SPECIMEN_SECRET, specimen

APPROVAL_ROLES = {
    "author": frozenset({"JD-020", "JD-004"}),
    "reviewer": frozenset({"JD-003"}),
    "approver": frozenset({"JD-001"}),
}
"""The steps of an approval in their order, and the roles that may take each (SP-30)."""

Layout = Callable[[RecordInput, SecretStr], Document]

LAYOUTS: dict[str, Layout] = {"1": document}
"""What each version of the template makes of a record."""


class UnknownTemplateError(LookupError):
    """There is no such version; the message names those that exist."""

    def __init__(self, version: str) -> None:
        known = ", ".join(template.version for template in templates())
        super().__init__(f"the template T-050-003 has no version {version!r}; there are: {known}")


class ApprovalError(ValueError):
    """An approval that breaks the procedure's rules; the message says which (SP-30)."""


class TemplateVersion(Frozen):
    """One version of the template and who has signed it so far, in order."""

    version: str
    changes: str
    approvals: tuple[Approval, ...] = ()

    @property
    def draft(self) -> bool:
        """True until the approver has signed."""
        return len(self.approvals) < len(APPROVAL_ROLES)

    @property
    def digest(self) -> str:
        """What this version says, as a SHA-256 in hex: it changes when a word changes."""
        return _digest(self.version)

    def signed(self, *approvals: Approval) -> "TemplateVersion":
        """Return this version with further signatures; raises ApprovalError."""
        signatures = (*self.approvals, *approvals)
        _check(self.version, signatures)
        return self.model_copy(update={"approvals": signatures})


@cache
def templates() -> tuple[TemplateVersion, ...]:
    """Return the versions that the software knows, oldest first."""
    file = resources.files("pdf") / "templates" / "registry.json"
    known = json.loads(file.read_text(encoding="utf-8"))["versions"]
    versions = tuple(TemplateVersion.model_validate(version) for version in known)
    for version in versions:
        _check(version.version, version.approvals)
    return versions


def template(version: str) -> TemplateVersion:
    """Return a version as the registry has it; raises UnknownTemplateError."""
    for known in templates():
        if known.version == version:
            return known
    raise UnknownTemplateError(version)


def layout(version: str) -> Layout:
    """Return what makes a document of a record in this version; raises UnknownTemplateError."""
    if version not in LAYOUTS:
        raise UnknownTemplateError(version)
    return LAYOUTS[version]


def latest_approved() -> TemplateVersion | None:
    """Return the newest version that the registry itself has as approved, None if there is none."""
    return next((known for known in reversed(templates()) if not known.draft), None)


def choose(
    recorded: Mapping[str, Sequence[Approval]] | None = None,
    *,
    versions: Sequence[TemplateVersion] | None = None,
) -> TemplateVersion:
    """Return the version to make new records under, with its approvals.

    It is the newest approved one, so that a new draft never stops the issuing of records (SP-08).
    With none approved it is the newest draft, and records say so on each page. `recorded` has the
    signatures given outside the registry, by version; those for words that have changed since
    (another digest) do not count. `versions` are the registry's unless given.
    Raises ApprovalError where recorded signatures break the rules.
    """
    recorded = recorded or {}
    known = templates() if versions is None else versions
    signed = [
        version.signed(*_valid(version, recorded.get(version.version, ()))) for version in known
    ]
    return next((version for version in reversed(signed) if not version.draft), signed[-1])


def _valid(version: TemplateVersion, approvals: Sequence[Approval]) -> Sequence[Approval]:
    stale = any(signed.digest and signed.digest != version.digest for signed in approvals)
    return () if stale else approvals


def _check(version: str, approvals: Sequence[Approval]) -> None:
    """Check signatures against the procedure's rules (SP-30); raises ApprovalError."""
    steps = list(APPROVAL_ROLES)
    if len(approvals) > len(steps):
        raise ApprovalError(f"version {version} is approved already")
    for approval, step in zip(approvals, steps, strict=False):
        if approval.step != step:
            raise ApprovalError(f"version {version} next needs its {step}, not its {approval.step}")
        if approval.role not in APPROVAL_ROLES[step]:
            allowed = " or ".join(sorted(APPROVAL_ROLES[step]))
            raise ApprovalError(f"the {step} of a template is {allowed}, not {approval.role}")
    for earlier, later in pairwise(approvals):
        _check_pair(version, earlier, later)
    people = [approval.by for approval in approvals if approval.by]
    if len(set(people)) < len(people):
        raise ApprovalError(
            f"one person cannot sign version {version} twice: nobody approves alone"
        )


def _check_pair(version: str, earlier: Approval, later: Approval) -> None:
    if later.on < earlier.on:
        raise ApprovalError(
            f"the {later.step} of version {version} signed before the {earlier.step}"
        )
    if later.commit != earlier.commit:
        raise ApprovalError(
            f"the {earlier.step} of version {version} signed commit {earlier.commit}, the "
            f"{later.step} {later.commit}: all sign the same state"
        )


@cache
def _digest(version: str) -> str:
    found = hashlib.sha256()
    for language in languages():
        for profile in Profile:
            for kind in ("dpa", "customer"):
                record = specimen(
                    language=language,
                    profile=profile,
                    contract_kind=kind,
                    template_version=version,
                    draft=False,
                )
                for text in _texts(astuple(layout(version)(record, SPECIMEN_SECRET))):
                    found.update(f"{text}\n".encode())
    return found.hexdigest()


def _texts(value: object) -> Iterator[str]:
    """All texts of a nested tuple, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for inner in value:
            yield from _texts(inner)
