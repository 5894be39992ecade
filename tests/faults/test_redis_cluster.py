"""A node of a Redis Cluster dies under a consumer, and the replica that takes its place goes on."""

from pathlib import Path

import pytest

from demo.services import RedisProgram
from tests.support.harness import audit
from tests.support.processes import eventually, photo
from tests.support.redis_cluster import VOTING, await_step, name_at, running_cluster, tell
from tests.support.stage import Stage, bootstrap, fresh, seed_folder

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.slow]


def test_a_consumer_goes_on_where_the_replica_is(
    kafka_address: str, redis_program: RedisProgram, tmp_path: Path
) -> None:
    with running_cluster(redis_program, primaries=3, replicas=1, settings=VOTING) as cluster:
        primary, [replica] = cluster.primaries[0], cluster.replicas
        index = name_at(primary)
        bootstrap(seed_folder(tmp_path / "seeds"), cluster.url, index)
        place = Stage(kafka_address, cluster.url, index, partitions=1)
        with place.stack, place.service("--batch-size", "4") as service:
            before, after = fresh(), fresh()
            shown = place.publish(photo(before))
            place.flush()
            place.await_outcomes()
            await_step(primary, replica)
            primary.kill()
            again, new = place.publish(photo(before, quality=60)), place.publish(photo(after))
            place.flush()
            eventually(lambda: service.status("/readyz") == (503, "redis is away"), "not ready")
            place.await_outcomes()
            eventually(service.is_ready, "ready again")
            audit(place)
            documents = place.documents()
            assert documents[again]["duplicate_of"] == documents[shown]["image_id"]
            assert documents[new]["verdict"] == "unique"
            assert tell(replica, "ROLE")[0] == b"master"
            assert service.program.stop() == 0
