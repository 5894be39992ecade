"""The metrics of several workers as those of one.

prometheus_client has a way of its own for that, by files that each process writes. There labels cannot be taken back:
a partition that another worker has by now would show the lag of both, and a generation that was replaced would stay.
"""

import operator
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from prometheus_client import Metric

from consumer.metrics import OF_WORKERS

if TYPE_CHECKING:
    from prometheus_client.samples import Sample

COUNTED = {"counter", "histogram"}
"""Types of what adds up, and stays when the process that counted it has ended."""


def merged(every: Iterable[Iterable[Metric]]) -> list[Metric]:
    """Return one family for all of the same name: what is counted as a sum, gauges as `OF_WORKERS` says."""
    families: dict[str, Metric] = {}
    for family in (family for families in every for family in families):
        known = families.get(family.name)
        families[family.name] = family if known is None else _together(known, family)
    return list(families.values())


def counted(families: Iterable[Metric]) -> list[Metric]:
    """Return the families of what is counted, without gauges."""
    return [family for family in families if family.type in COUNTED]


def _together(one: Metric, other: Metric) -> Metric:
    samples: dict[tuple[str, tuple[tuple[str, str], ...]], Sample] = {}
    for sample in (*one.samples, *other.samples):
        key = sample.name, tuple(sorted(sample.labels.items()))
        known = samples.get(key)
        value = sample.value if known is None else _method(one, sample.name)(known.value, sample.value)
        samples[key] = sample._replace(value=value)
    both = Metric(one.name, one.documentation, one.type, one.unit)
    both.samples = list(samples.values())
    return both


def _method(family: Metric, name: str) -> Callable[[float, float], float]:
    if name.endswith("_created"):
        return min
    return operator.add if family.type in COUNTED else OF_WORKERS.get(family.name, max)
