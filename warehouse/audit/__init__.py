"""The look-ahead audit: tests by rebuilding that no model uses data from after its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warehouse.lazy_imports import lazy_names

if TYPE_CHECKING:
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
else:
    __getattr__, __dir__ = lazy_names(__name__, __file__)
