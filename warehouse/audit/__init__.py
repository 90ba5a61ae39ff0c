"""Proof, as far as trial can give it, that no model uses what was not known yet."""

from warehouse.audit.lookahead import audit_lookahead, audit_sample
from warehouse.audit.report import AuditReport, Finding, Kind, Mode, ModelAudit, Verdict
from warehouse.audit.sample import FULL, QUICK, SampleSize

__all__ = [
    "FULL",
    "QUICK",
    "AuditReport",
    "Finding",
    "Kind",
    "Mode",
    "ModelAudit",
    "SampleSize",
    "Verdict",
    "audit_lookahead",
    "audit_sample",
]
