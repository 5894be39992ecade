"""Pods of the chart: what they may do, what they have, and how long they are given."""

import re
from pathlib import Path

import pytest
import yaml

from consumer.settings import ServiceSettings
from neardup.cli.commands import command
from neardup.settings.options import options_of
from tests.support import chart
from tests.support.chart import (
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


@pytest.mark.parametrize("role", ["all", "describe", "decide"])
def test_there_is_room_for_what_a_consumer_takes(role: str) -> None:
    resources = chart.values()["consumers"][role]["resources"]
    settings = ServiceSettings()
    # As for the container of the compose file: at most 16 bytes a pixel that is decoded.
    decoding = 0 if role == "decide" else int(resources["limits"]["cpu"]) * 16 * settings.max_image_pixels
    records = 0 if role == "describe" else settings.cache_bytes
    wanted = decoding + records + settings.repeat_bytes + 512 * 2**20
    assert mebibytes(resources["limits"]["memory"]) * 2**20 > wanted
    if role != "describe":
        cache = mebibytes(chart.values()["consumers"][role]["indexCache"]["sizeLimit"]) * 2**20
        assert cache > 2 * settings.cache_bytes


def test_workers_share_memory_where_they_share_no_folder(rendered: dict[str, Manifests]) -> None:
    both = [container_of(rendered[name], "consumer") for name in ("defaults", "everything")]
    paths = [{each["mountPath"] for each in one["volumeMounts"]} for one in both]
    assert [("/cache" in each, "/dev/shm" in each) for each in paths] == [(True, False), (False, True)]  # noqa: S108
    assert [variables(each).get("NEARDUP_INDEX_CACHE") for each in both] == ["/cache/index", None]
