"""Tables of docs/performance.md, from the results."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks.pages import share, table
from benchmarks.throughput.describing import STAGES
from benchmarks.throughput.sizing import BUSY, Costs, Load, need

LOADS = (
    ("10 cameras, an image a second", "dct, photos", Load(10, 1.0, 0.1, 30)),
    ("30 cameras, 2 images a second", "dct, photos", Load(30, 2.0, 0.1, 30)),
    ("100 cameras, an image a second", "dct, photos", Load(100, 1.0, 0.1, 30)),
    ("100 cameras, an image a second, a year", "dct, photos", Load(100, 1.0, 0.1, 365)),
    ("50 cameras of two megapixels, 5 images a second", "dct, 1080p", Load(50, 5.0, 0.02, 7)),
    ("a scraper, 10 images a second", "scraper, photos", Load(1, 10.0, 0.7, 90)),
    ("a scraper, 10 million images a day", "scraper, photos", Load(1, 1e7 / 86_400, 0.7, 7)),
    ("an archive of 100 million images in 30 days", "dct, photos", Load(1, 1e8 / 30 / 86_400, 0.7, 30)),
)
"""Whose needs the page works out: in words, the case that was measured, and the load."""


def tables(report: Mapping[str, Any]) -> dict[str, str]:
    """Return each table by the name of its place; those of parts that nobody measured are left out."""
    whole = report.get("end-to-end", {})
    made = {"machine": "{asked}, on {images}; {machine}; load {load} at the start.".format_map(report)}
    for name, part, make in (
        ("end-to-end", "end-to-end", _end_to_end),
        ("memory", "end-to-end", _memory),
        ("ceiling", "ceiling", _ceiling),
        ("latency", "latency", _latency),
        ("stages", "stages", _stages),
        ("workers", "workers", _workers),
        ("describing", "ceiling", _describing),
        ("peers", "peers", partial(_peers, whole)),
        ("sizing", "end-to-end", _sizing),
    ):
        if report.get(part):
            made[name] = make(report[part])
    return made


def _ratio(spread: Mapping[str, float]) -> str:
    return f"**{spread['median']:.2f}** ({spread['least']:.2f} to {spread['most']:.2f})"


def _end_to_end(cases: Mapping[str, Any]) -> str:
    head = (
        "images",
        "images/s: this over the one before",
        "CPU an image: the same",
        "images/s",
        "CPU an image: before, this",
        "Kafka, Redis",
        "unique: before, this",
    )
    return table(
        head,
        [
            [
                f"{name}, {each['bytes_an_image'] / 1000:,.0f} kB; against `{each['before_commit']}`",
                _ratio(each["ratio"]["images_s"]),
                _ratio(each["ratio"]["cpu_ms"]),
                f"{each['before']['images_s']:.0f}, {each['this']['images_s']:.0f}",
                f"{each['before']['cpu_ms']:.2f} ms, {each['this']['cpu_ms']:.2f} ms",
                f"{each['this']['kafka_ms']:.2f} ms, {each['this']['redis_ms']:.2f} ms",
                f"{each['before']['unique']:.0f}, {each['this']['unique']:.0f}",
            ]
            for name, each in cases.items()
        ],
    )


def _workers(cases: Mapping[str, Any]) -> str:
    return table(
        (
            "images",
            "workers",
            "images/s: several over one",
            "CPU an image: the same",
            "images/s: one, several",
            "memory: one, several",
            "images, rounds, load",
        ),
        [
            [
                name,
                str(each["workers"]),
                _ratio(each["ratio"]["images_s"]),
                _ratio(each["ratio"]["cpu_ms"]),
                ", ".join(f"{each[who]['images_s']:.0f}" for who in ("one", "several")),
                ", ".join(f"{each[who]['memory_mib'][-1]:.0f} MiB" for who in ("one", "several")),
                f"{each['timed_images']}, {each['rounds']}, {each['load']}",
            ]
            for name, each in cases.items()
        ],
    )


def _memory(cases: Mapping[str, Any]) -> str:
    return table(
        ("images", "after the first", "halfway", "at the end", "timed images"),
        [
            [name, *(f"{mib:.0f} MiB" for mib in each["this"]["memory_mib"]), str(each["timed_images"])]
            for name, each in cases.items()
        ],
    )


def _ceiling(cases: Mapping[str, Any]) -> str:
    head = ("images", "all cores describe", "the whole", "Kafka, Redis, measuring", "left for ours", "ours reaches")
    return table(
        head,
        [
            [
                name,
                f"{each['images_s']:.0f} images/s on {each['cores']} cores",
                f"{each['whole_images_s']:.0f} images/s",
                f"{each['kafka_cores']:.2f}, {each['redis_cores']:.2f}, {each['harness_cores']:.2f} cores",
                f"{each['left_images_s']:.0f} images/s",
                f"{share(each['share_of_left'])} %",
            ]
            for name, each in cases.items()
        ],
    )


def _describing(cases: Mapping[str, Any]) -> str:
    return table(
        ("images", *STAGES),
        [
            [name, *(f"{each[f'{stage}_ms']:.2f} ms" for stage in STAGES)]
            for name, each in cases.items()
            if not name.endswith("members")  # the same images
        ],
    )


def _latency(cases: Mapping[str, Any]) -> str:
    ranks = ("p50", "p95", "p99")
    return table(
        ("images", "build", *ranks),
        [
            [
                f"{name}, {each['rate']:.0f} a second",
                build,
                *(f"{each[build][f'{rank}_ms']:.0f} ms" for rank in ranks),
            ]
            for name, each in cases.items()
            for build in ("before", "this")
        ],
    )


def _stages(cases: Mapping[str, Any]) -> str:
    columns = {f"{name}, {build}": spent for name, builds in cases.items() for build, spent in builds.items()}
    rooms = sorted({room for each in columns.values() for room in each}, key=lambda room: (-_most(columns, room), room))
    return table(
        ("CPU, ms an image", *columns),
        [[room, *(f"{each.get(room, 0.0):.2f}" for each in columns.values())] for room in rooms],
    )


def _most(cases: Mapping[str, Any], room: str) -> float:
    """Return the largest share that something has of a case."""
    return max((float(each.get(room, 0.0)) / sum(each.values()) for each in cases.values()), default=0.0)


def _peers(cases: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    consumer = cases.get("dct, photos", {}).get("this")
    body: list[Sequence[str]] = [
        [
            tool,
            f"{int(count):,}",
            f"{each['cpu_ms']:.2f} ms",
            f"{share(each['copies_found'])} %",
            f"{share(each['among_strangers'])} %",
        ]
        for count, tools in found["files"].items()
        for tool, each in tools.items()
    ]
    if consumer:
        body.append(["the consumer, on Kafka and Redis", "a stream", f"{consumer['cpu_ms']:.2f} ms", "", ""])
    body += [[tool, "", f"not measured: {why}", "", ""] for tool, why in found["not_measured"].items()]
    return table(("tool", "files", "CPU an image", "copies with their original", "images among strangers"), body)


def _sizing(cases: Mapping[str, Any]) -> str:
    head = ("load", "measured as", "unique", "days kept", "cores", "consumers", "partitions", "memory of Redis")
    return (
        table(
            head,
            [
                [
                    words,
                    case,
                    f"{share(load.unique)} %",
                    f"{load.days:g}",
                    str(needed.cores),
                    str(needed.consumers),
                    str(needed.partitions),
                    f"{needed.redis_gib:.1f} GiB",
                ]
                for words, case, load in LOADS
                if case in cases
                for needed in [need(load, Costs.measured(cases[case]["this"]))]
            ],
        )
        + f"\n\nPlanned for {100 * BUSY:.0f} % of the cores, and of what a consumer can do."
    )
