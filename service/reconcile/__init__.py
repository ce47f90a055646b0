"""Reconciling: what AWS holds against what the records say, and putting it right."""

from service.reconcile.findings import Finding, FindingKind, Remedy
from service.reconcile.mend import Mended, TooMuchToRemove, mend
from service.reconcile.survey import survey

__all__ = [
    "Finding",
    "FindingKind",
    "Mended",
    "Remedy",
    "TooMuchToRemove",
    "mend",
    "survey",
]
