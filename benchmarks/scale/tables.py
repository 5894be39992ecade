"""Tables of docs/scaling.md, from the results."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.pages import table
from neardup.index.redis import CACHE_BYTES

Found = Sequence[Mapping[str, Any]]


def tables(report: Mapping[str, Any]) -> dict[str, str]:
    """Return each table by the name of its place; those of parts that nobody measured are left out."""
    made = {"machine": "{machine}; descriptors {data}; the build before is `{before}`.".format_map(report)}
    parts = {"turns": _turns, "following": _following, "processes": _processes, "sizes": _sizes, "roles": _roles}
    for name, make in parts.items():
        if name in report:
            made[name] = make(report[name]["found"])
    sizes = sorted(report.get("sizes", {}).get("found", ()), key=lambda each: each["members"])
    if len(sizes) > 1:
        made["larger"] = _larger(*sizes[-2:])
    return made


def _turns(found: Found) -> str:
    head = (
        "consumers",
        "CPU of the consumer, ms an image: this, before",
        "over one consumer: this, before",
        "this over before",
        "CPU of Redis, ms an image: this, before",
        "over one consumer: this, before",
    )
    body = []
    for each in found:
        this, before = each["this"], each["before"]
        body.append(
            [
                str(each["clients"]),
                _two(this, before, "client_ms", ".2f"),
                _two(_over(this, found[0]["this"]), _over(before, found[0]["before"]), "client_ms", ".2f"),
                f"{this['client_ms'] / before['client_ms']:.2f}",
                _two(this, before, "redis_ms", ".3f"),
                _two(_over(this, found[0]["this"]), _over(before, found[0]["before"]), "redis_ms", ".2f"),
            ]
        )
    return table(head, body)


def _following(found: Found) -> str:
    head = ("events at once", "consumer, µs an event: this, before", "this over before", "Redis, µs: this, before")
    return table(
        head,
        [
            [
                f"{each['events']:,}",
                _two(each["this"], each["before"], "client_us", ".1f"),
                f"{each['this']['client_us'] / each['before']['client_us']:.2f}",
                _two(each["this"], each["before"], "redis_us", ".1f"),
            ]
            for each in found
        ],
    )


def _processes(found: Found) -> str:
    head = (
        "consumers",
        "images/s: this, before",
        "tried again, a batch: this, before",
        "CPU of the consumers, ms an image: this, before",
        "CPU of Redis, ms: this, before",
    )
    wanted = (("images_a_second", ",.0f"), ("retries_a_batch", ".2f"), ("client_ms", ".2f"), ("redis_ms", ".3f"))
    return table(
        head,
        [
            [str(each["processes"]), *(_two(each["this"], each["before"], name, how) for name, how in wanted)]
            for each in found
        ],
    )


def _sizes(found: Found) -> str:
    head = (
        "members",
        "Redis, MiB",
        "a consumer, MiB",
        "opened in s",
        "opened, and kept for the next start: s, MiB on disk",
        "opened by what was kept: s, MiB",
        "batch of 64, ms an image: CPU, elapsed",
        "one image alone, ms: p50, p99",
    )
    return table(
        head,
        [
            [
                f"{each['members']:,}",
                f"{each['redis_mib']:,.0f}",
                f"{each['client_mib']:,.0f}",
                f"{each['open_s']:,.1f}",
                f"{each['keep_s']:,.1f}, {each['kept_mib']:,.0f}",
                f"{each['kept_open_s']:,.1f}, {each['kept_client_mib']:,.0f}",
                f"{each['batch_cpu_ms_an_image']:.2f}, {each['batch_ms_an_image']:.2f}",
                f"{each['single_ms_p50']:.2f}, {each['single_ms_p99']:.2f}",
            ]
            for each in found
        ],
    )


def _larger(smaller: Mapping[str, Any], largest: Mapping[str, Any]) -> str:
    """Work out an index that is as many times larger once more."""
    times = largest["members"] / smaller["members"]
    # Records do not grow, in memory or on disk: the larger of both has all that there is room for.
    records_mib = CACHE_BYTES / 2**20
    sketches_mib = times * (largest["client_mib"] - records_mib)
    kept_mib = times * (largest["kept_mib"] - records_mib) + records_mib
    cpu_ms = largest["batch_cpu_ms_an_image"] * largest["batch_cpu_ms_an_image"] / smaller["batch_cpu_ms_an_image"]
    head = (
        "members",
        "Redis, GiB",
        "a consumer, GiB: sketches and places, records",
        "opened in s",
        "opened, and kept: s, GiB on disk",
        "opened by what was kept: s, GiB",
        "batch of 64, ms of CPU an image",
    )
    row = (
        f"{times * largest['members']:,.0f}",
        f"{times * largest['redis_mib'] / 1024:.0f}",
        f"{sketches_mib / 1024:.1f}, {records_mib / 1024:.1f}",
        f"{times * largest['open_s']:.0f}",
        f"{times * largest['keep_s']:.0f}, {kept_mib / 1024:.0f}",
        f"{times * largest['kept_open_s']:.0f}, {times * largest['kept_client_mib'] / 1024:.1f}",
        f"{cpu_ms:.1f}",
    )
    return table(head, [row])


def _roles(found: Found) -> str:
    head = ("role", "images", "consumers", "images a second", "their CPU, ms an image")
    return table(
        head,
        [
            [
                each["role"],
                each["data"],
                str(each["consumers"]),
                f"{each['images_a_second']:,.0f}",
                f"{each['cpu_ms']:.2f}",
            ]
            for each in found
        ],
    )


def _over(figures: Mapping[str, float], ones: Mapping[str, float]) -> dict[str, float]:
    return {name: value / ones[name] for name, value in figures.items() if name.endswith("_ms")}


def _two(this: Mapping[str, float], before: Mapping[str, float], name: str, how: str) -> str:
    return f"{this[name]:{how}}, {before[name]:{how}}"
