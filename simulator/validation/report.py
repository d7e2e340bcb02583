"""ValidationReport: every row with its residual, every source with its figures, nothing rounded away."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from simulator.validation.foundations import FittedConstant, HeldOut
from simulator.validation.sources import describe
from simulator.validation.statistics import best_scale, kendall_tau, percent_error


@dataclass(frozen=True)
class Row:
    """One published row and what became of it.

    predicted_s is None where the plan is not built yet; `reason` then says what is missing. fitted: a constant was
    fitted to it. terms_s: the predicted breakdown, label -> seconds (empty for what is no step). feasible: whether the
    memory model says that it fits.
    """

    source: str
    name: str
    group: str
    quantity: str
    stand_in: str
    fitted: bool
    measured_s: float
    predicted_s: float | None = None
    reason: str = ""
    terms_s: dict[str, float] = field(default_factory=dict)
    feasible: bool | None = None

    @property
    def error_percent(self) -> float | None:
        """Positive when the prediction is too slow."""
        return None if self.predicted_s is None else percent_error(self.predicted_s, self.measured_s)

    @property
    def counts(self) -> bool:
        """Whether the row enters its source's figures: predicted, of the plan that was measured, known to no cost."""
        return self.predicted_s is not None and not self.stand_in and not self.fitted


@dataclass(frozen=True)
class SourceSummary:
    """Figures of one source over its validation rows: those that no cost was fitted to.

    mean_, median_ and max_absolute_error_percent, bias_percent (mean signed error), kendall_tau within groups: None
    where no row counts. terms_percent: mean of each predicted term as a share of the measured time, so that they sum
    to 100 + bias. residuals_by_term: for each term, what it alone would have to be multiplied by for the least squared
    error, and the mean absolute error left then (empty for fewer than two rows). not_built: published rows that are not
    predicted yet. readings: what the table does not say and was assumed. fit_rows: those that constants were fitted to,
    and their mean absolute error, which says how well the fit went and nothing more.
    """

    source: str
    citation: str
    readings: tuple[str, ...]
    rows: int
    fit_rows: int
    fit_mean_absolute_error_percent: float | None
    not_built: int
    stand_ins: int
    stand_in_mean_absolute_error_percent: float | None
    mean_absolute_error_percent: float | None
    median_absolute_error_percent: float | None
    bias_percent: float | None
    max_absolute_error_percent: float | None
    kendall_tau: float | None
    terms_percent: dict[str, float]
    residuals_by_term: dict[str, dict[str, float]]


@dataclass(frozen=True)
class ValidationReport:
    """Rows in the order of their sources, a summary of each source, the constants that were fitted, and what the tables
    of kernels and collectives show where points are held out.
    """

    rows: tuple[Row, ...]
    sources: tuple[SourceSummary, ...]
    constants: tuple[FittedConstant, ...] = ()
    held_out: tuple[HeldOut, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """What `rehearse validate --json` prints: every number finite or null."""
        return {
            "sources": [asdict(source) for source in self.sources],
            "constants": [asdict(constant) for constant in self.constants],
            "held_out": [asdict(one) for one in self.held_out],
            "rows": [{**asdict(row), "error_percent": row.error_percent} for row in self.rows],
        }


def summarise(source: str, rows: Iterable[Row]) -> SourceSummary:
    """The figures of one source's rows."""
    citation, readings = describe(source)
    rows = tuple(rows)
    others = [row for row in rows if row.predicted_s is not None and row.stand_in]
    known = [row for row in rows if row.predicted_s is not None and row.fitted]
    counting = [row for row in rows if row.counts]
    errors = [row.error_percent for row in counting]
    groups: dict[str, list[tuple[float, float]]] = {}
    for row in counting:
        groups.setdefault(row.group, []).append((row.predicted_s, row.measured_s))
    return SourceSummary(
        source=source,
        citation=citation,
        readings=readings,
        rows=len(counting),
        fit_rows=len(known),
        fit_mean_absolute_error_percent=_mean([abs(row.error_percent) for row in known]),
        not_built=sum(row.predicted_s is None and not row.stand_in for row in rows),
        stand_ins=len(others),
        stand_in_mean_absolute_error_percent=_mean([abs(row.error_percent) for row in others]),
        mean_absolute_error_percent=_mean([abs(error) for error in errors]),
        median_absolute_error_percent=median([abs(error) for error in errors]) if errors else None,
        bias_percent=_mean(errors),
        max_absolute_error_percent=max((abs(error) for error in errors), default=None),
        kendall_tau=kendall_tau(groups.values()),
        terms_percent=_mean_terms(counting),
        residuals_by_term=_residuals_by_term(counting),
    )


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _mean_terms(rows: list[Row]) -> dict[str, float]:
    with_terms = [row for row in rows if row.terms_s]
    labels = with_terms[0].terms_s if with_terms else {}
    return {
        label: 100.0 * sum(row.terms_s[label] / row.measured_s for row in with_terms) / len(with_terms)
        for label in labels
    }


def _residuals_by_term(rows: list[Row]) -> dict[str, dict[str, float]]:
    with_terms = [row for row in rows if row.terms_s]
    found: dict[str, dict[str, float]] = {}
    if len(with_terms) < 2:
        return found
    errors = [row.error_percent for row in with_terms]
    for label in with_terms[0].terms_s:
        shares = [100.0 * row.terms_s[label] / row.measured_s for row in with_terms]
        if (scale := best_scale(errors, shares)) is not None:
            left = [abs(error + (scale - 1.0) * share) for error, share in zip(errors, shares, strict=True)]
            found[label] = {"scale": scale, "mean_absolute_error_percent": sum(left) / len(left)}
    return found
