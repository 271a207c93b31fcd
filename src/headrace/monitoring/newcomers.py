"""Is the model asked about a part of the population that it has never learnt from?"""

from __future__ import annotations

from collections.abc import Iterator

from headrace.access.privacy.fields import altered_inputs
from headrace.checks.columns import label
from headrace.checks.profiles import OTHER, CategoricalProfile
from headrace.checks.ranges import beyond_p_value
from headrace.core.record import Finding
from headrace.monitoring.ingest import predictions_table, quoted
from headrace.monitoring.watch import Round, Watch
from headrace.monitoring.windows import Window

NAME = "newcomers"
"""Name of the measurements: rows of a category (``feature``, ``segment``) that training never saw."""
MARK = "newcomer_windows"
SHARE = 0.01
"""Of a window's rows, from which a category is a part of the population and no typing error."""
_MOST = 20
_MOST_TOLD = 3
"""New categories of an input in a window that are told one by one; more are one change, and one finding."""


def watch_newcomers(watch: Watch) -> Round:
    """Count the rows of each new closed window whose category training has never seen.

    A finding needs as many rows as make a window, a hundredth of all, and evidence that such a part of the
    population was not missed in training by chance. An input of more categories than its profile keeps is not
    watched, nor is one that is not recorded as it comes.
    """
    found = Round([], [])
    for window, mark in watch.new_windows(MARK):
        told: dict[str, list[tuple[str, Finding]]] = {}
        for feature, category, n, n_trained in _counted(watch, window):
            found.measurements.append(
                watch.measurement(
                    window, NAME, float(n), key=f"{feature}:{category}", feature=feature, segment=category
                )
            )
            finding = _finding(watch, window, feature, category, n, n_trained)
            if finding is not None:
                told.setdefault(feature, []).append((category, finding))
        for feature, each in told.items():
            found.findings.extend(
                [finding for _, finding in each]
                if len(each) <= _MOST_TOLD
                else [_together(watch, window, feature, each)]
            )
        found.measurements.append(mark)
    return found


def _counted(watch: Watch, window: Window) -> Iterator[tuple[str, str, int, int]]:
    """Input, category, rows of it in the window, and rows that training had; the most frequent first."""
    hidden = altered_inputs(watch.project)
    for name, profile in watch.baseline_of(window.release_id).inputs.features.items():
        if not isinstance(profile, CategoricalProfile) or OTHER in profile.counts or name in hidden:
            continue
        column = quoted(f"in_{name}")
        rows = watch.tables.query(
            f"select {column} as value, count(*) as n from p where {column} is not null and release_id = ? "
            "and arm not in ('canary', 'shadow') and event_time >= ? and event_time < ? group by 1",
            {"p": (predictions_table(watch.project.name), None)},
            [window.release_id, window.start.replace(tzinfo=None), window.end.replace(tzinfo=None)],
        )
        new: dict[str, int] = {}
        for value, n in zip(rows["value"].tolist(), rows["n"].tolist(), strict=True):
            category = label(value)
            if category is not None and category not in profile.counts:
                new[category] = new.get(category, 0) + n
        for category in sorted(new, key=lambda one: (-new[one], one))[:_MOST]:
            yield name, category, new[category], profile.n - profile.n_missing


def _finding(
    watch: Watch, window: Window, feature: str, category: str, n: int, n_trained: int
) -> Finding | None:
    level = watch.level(len(watch.baseline_of(window.release_id).inputs.features))
    # Of all rows, trained on and new, these ones are those of the category; by chance all of them are new.
    p_value = beyond_p_value(n, window.n_rows, n_trained)
    if n < watch.fewest or n < SHARE * window.n_rows or p_value > level:
        return None
    share = n / window.n_rows
    evidence = {
        "test": "orders of old and new rows",
        "p_value": p_value,
        "level": level,
        "n_rows": n,
        "share": share,
        "n_training": n_trained,
    }
    title = f"{feature} is {category!r} in {share:.0%} of the rows, and was in none of training"
    return watch.finding(window, "new_segment", title, evidence, share, feature=f"{feature}: {category}")


def _together(watch: Watch, window: Window, feature: str, each: list[tuple[str, Finding]]) -> Finding:
    """Many at once are one cause, such as values that are written in another way, and one alert."""
    names = [category for category, _ in each]
    n_rows = sum(finding.evidence["n_rows"] for _, finding in each)
    share = n_rows / window.n_rows
    shown = ", ".join(map(repr, names[:_MOST_TOLD]))
    many = f"{len(names)}{' or more' if len(names) == _MOST else ''} values"
    title = f"{feature} has {many} in {share:.0%} of the rows that were in none of training: {shown}, ..."
    first = each[0][1].evidence
    evidence = first | {"p_value": max(one.evidence["p_value"] for _, one in each), "categories": names}
    evidence |= {"n_rows": n_rows, "share": share}
    return watch.finding(window, "new_segment", title, evidence, share, feature=feature)
