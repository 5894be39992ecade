"""Pods of the chart: what they may do, what they have, and how long they are given."""

import json
import math
import re
from pathlib import Path

import pytest
import yaml

from consumer.settings import ServiceSettings
from neardup.cli.commands import command
from neardup.settings.options import options_of
from tests.support import chart
from tests.support.chart import (
    CHART,
    ROOT,
    Manifests,
    container_of,
    containers,
    named,
    neardup_command,
    of,
    pods,
    variables,
)

pytestmark = pytest.mark.slow  # Helm comes from a wheel the first time


def test_pods_run_as_the_user_of_the_image_and_may_do_nothing_more(manifests: Manifests) -> None:
    [user, group] = re.findall(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)[0]
    for _, _, spec in pods(manifests):
        context = spec["securityContext"]
        assert (context["runAsNonRoot"], context["runAsUser"], context["runAsGroup"]) == (True, int(user), int(group))
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
    for _, container in containers(manifests):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"requests", "limits"} <= set(container["resources"])
    assert all(each["automountServiceAccountToken"] is False for each in of(manifests, "ServiceAccount"))


def test_what_is_mounted_is_there_and_only_own_folders_are_written_to(manifests: Manifests) -> None:
    for spec, container in containers(manifests):
        volumes = {each["name"]: each for each in spec["volumes"]}
        mounts = container.get("volumeMounts", [])
        assert len({each["mountPath"] for each in mounts}) == len(mounts)
        assert {each["name"] for each in mounts} <= set(volumes)
        for each in mounts:
            assert each.get("readOnly") or each["name"] == "reports" or "emptyDir" in volumes[each["name"]]
        if neardup_command(container):
            assert "/tmp" in {each["mountPath"] for each in mounts}  # noqa: S108 - where the image writes
    for _, _, spec in pods(manifests):
        used = {each["name"] for one in spec["containers"] for each in one.get("volumeMounts", [])}
        assert used == {each["name"] for each in spec["volumes"]}


def test_every_file_that_a_variable_names_is_mounted(manifests: Manifests) -> None:
    seen = 0
    for spec, container in containers(manifests):
        folders = {each["mountPath"]: each["name"] for each in container.get("volumeMounts", [])}
        volumes = {each["name"]: each for each in spec["volumes"]}
        for text in variables(container).values():
            for path in re.findall(r"/etc/neardup/[^&]+", text):
                secret = volumes[folders[str(Path(path).parent)]]["secret"]
                assert Path(path).name in {item["path"] for item in secret["items"]}
                assert secret["defaultMode"] == 0o440
                seen += 1
    assert seen > 0 or not re.search(r"_FILE|ssl_ca", yaml.safe_dump(manifests))


def test_secrets_are_named_and_nowhere_told(manifests: Manifests) -> None:
    assert of(manifests, "Secret") == []
    settings = [each for name in chart.SETTINGS for _, each in options_of(command(name).settings_class)]
    secrets = {each.env for each in settings if each.secret}
    for _, container in containers(manifests):
        assert secrets & set(variables(container)) <= {"NEARDUP_REDIS_URL"}


@pytest.mark.parametrize("component", ["consumer", "serve"])
def test_pods_are_given_longer_than_they_want(component: str, rendered: dict[str, Manifests]) -> None:
    for name in ("defaults", "everything"):
        if component == "serve" and name == "defaults":
            continue
        spec = named(rendered[name], "Deployment", f"-{component}")["spec"]["template"]["spec"]
        wanted_s = float(variables(spec["containers"][0])["NEARDUP_SHUTDOWN_TIMEOUT_S"])
        # One more attempt, of 15 s, and two clients that close, of 5 s each.
        assert spec["terminationGracePeriodSeconds"] >= wanted_s + 15 + 10 + 10


def mebibytes(text: str) -> int:
    return int(text[:-2]) * {"Mi": 1, "Gi": 1024}[text[-2:]]


RESULTS: list[dict[str, float]] = json.loads((ROOT / "benchmarks/results/scale.json").read_text("utf-8"))["sizes"][
    "found"
]
MEMBERS, SERVED_MEMBERS = 3_000_000, 1_500_000
"""So many the limits of consumers and of the look-up service are for, as docs/kubernetes.md says."""
MIB, GIB = 2**20, 2**30
IN_HAND = 512 * MIB
ON_THEIR_WAY = 256 * MIB


def a_member(measured: str) -> int:
    """Return the bytes that a member takes, by the largest index that was measured, whose records fill the cache."""
    largest = RESULTS[-1]
    return math.ceil((largest[measured] * MIB - ServiceSettings().cache_bytes) / largest["members"])


def memory_for(members: int, cores: int) -> int:
    """Return the bytes that a consumer takes that decides, and decodes on so many cores."""
    settings = ServiceSettings()
    # As for the container of the compose file: at most 16 bytes a pixel that is decoded.
    decoding = cores * 16 * settings.max_image_pixels
    return decoding + settings.cache_bytes + settings.repeat_bytes + IN_HAND + members * a_member("client_mib")


def cache_for(members: int) -> int:
    """Return the bytes of two files of the index cache."""
    return 2 * (ServiceSettings().cache_bytes + members * a_member("kept_mib"))


@pytest.mark.parametrize(("role", "cores"), [("all", 2), ("decide", 0)])
def test_there_is_room_for_what_a_consumer_takes(role: str, cores: int) -> None:
    consumer = chart.values()["consumers"][role]
    assert cores in {0, int(consumer["resources"]["limits"]["cpu"])}
    assert mebibytes(consumer["resources"]["limits"]["memory"]) * MIB > memory_for(MEMBERS, cores)
    assert mebibytes(consumer["indexCache"]["sizeLimit"]) * MIB > cache_for(MEMBERS)


def test_there_is_room_for_what_others_take() -> None:
    describes = chart.values()["consumers"]["describe"]["resources"]["limits"]
    without_records = memory_for(0, int(describes["cpu"])) - ServiceSettings().cache_bytes
    assert mebibytes(describes["memory"]) * MIB > without_records
    serves = chart.values()["serve"]["resources"]["limits"]
    wanted = memory_for(SERVED_MEMBERS, int(serves["cpu"])) + ON_THEIR_WAY
    assert mebibytes(serves["memory"]) * MIB > wanted


def test_the_page_tells_how_much_memory_is_needed() -> None:
    page = " ".join((ROOT / "docs/kubernetes.md").read_text("utf-8").split())
    for members in (MEMBERS, 10_000_000, 50_000_000):
        wanted = (
            memory_for(members, 2),
            memory_for(members, 0),
            cache_for(members),
            memory_for(members, 2) + ON_THEIR_WAY,
        )
        cells = " | ".join(f"{math.ceil(each / GIB)} GiB" for each in wanted)
        assert f"| {members // 1_000_000} million | {cells} |" in page
    assert f"enough for {SERVED_MEMBERS / 1_000_000:g} million" in page
    largest = RESULTS[-1]
    assert f"a consumer took {largest['client_mib']:,.0f} MiB" in page
    assert f"the file {largest['kept_mib']:,.0f} MiB" in page
    for text in (page, (CHART / "values.yaml").read_text("utf-8")):
        assert f"{a_member('client_mib')} bytes" in text
        assert f"{a_member('kept_mib')} bytes" in text


def test_the_page_tells_what_the_index_cache_saves() -> None:
    page = " ".join((ROOT / "docs/kubernetes.md").read_text("utf-8").split())
    first, largest = RESULTS
    assert (first["members"], largest["members"]) == (1_000_000, 10_000_000)
    saved = [f"{each['kept_open_s']:.1f} s in place of {each['open_s']:.1f}" for each in RESULTS]
    assert f"a million members in {saved[0]}, and ten million in {saved[1]} " in page


def test_workers_share_memory_where_they_share_no_folder(rendered: dict[str, Manifests]) -> None:
    both = [container_of(rendered[name], "consumer") for name in ("defaults", "everything")]
    paths = [{each["mountPath"] for each in one["volumeMounts"]} for one in both]
    assert [("/cache" in each, "/dev/shm" in each) for each in paths] == [(True, False), (False, True)]  # noqa: S108
    assert [variables(each).get("NEARDUP_INDEX_CACHE") for each in both] == ["/cache/index", None]
