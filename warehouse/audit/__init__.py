"""The look-ahead audit: tests by rebuilding that no model uses data from after its rows."""

from warehouse.audit.lookahead import audit_lookahead, audit_sample
from warehouse.audit.metrics import audit_metrics, keep_audit
from warehouse.audit.metrics_report import (
    ColumnAudit,
    MetricsReport,
    SeriesAudit,
    ValueOutcome,
)
from warehouse.audit.report import AuditReport, Kind, Mode, ModelAudit, ModelFinding, Verdict
from warehouse.audit.sample import FULL, QUICK, SampleSize

__all__ = [
    "FULL",
    "QUICK",
    "AuditReport",
    "ColumnAudit",
    "Kind",
    "MetricsReport",
    "Mode",
    "ModelAudit",
    "ModelFinding",
    "SampleSize",
    "SeriesAudit",
    "ValueOutcome",
    "Verdict",
    "audit_lookahead",
    "audit_metrics",
    "audit_sample",
    "keep_audit",
]
