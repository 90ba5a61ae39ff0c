"""The look-ahead audit: tests by rebuilding that no model uses data from after its rows."""

from warehouse.audit.lookahead import audit_lookahead, audit_sample
from warehouse.audit.report import AuditReport, Kind, Mode, ModelAudit, ModelFinding, Verdict
from warehouse.audit.sample import FULL, QUICK, SampleSize

__all__ = [
    "FULL",
    "QUICK",
    "AuditReport",
    "Kind",
    "Mode",
    "ModelAudit",
    "ModelFinding",
    "SampleSize",
    "Verdict",
    "audit_lookahead",
    "audit_sample",
]
