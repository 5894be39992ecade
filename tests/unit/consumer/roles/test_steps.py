"""A describer and a decider together say what one consumer says; what does not fit is never judged silently."""

import json
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from consumer.logs import report_outcomes
from consumer.messages import ImageMessage
from consumer.metrics import Metrics
from neardup.errors import IndexMismatch, Misconfigured, RedisUnavailable
from neardup.index.base import IndexMeta, IndexStats
from neardup.index.memory import MemoryIndex
from neardup.relation.rule import Relation
from neardup.types import Decision, Query
from neardup.wire_described import decode_described, encode_described
from tests.support.processes import photo
from tests.support.roles import DCT, META, Head, another, deciding, delivered, describing, judging, meta_of, through

SENT_MS = 1_700_000_000_000
FLIPS = Relation(DCT.default_radius, match_flips=True)


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def images(*values: bytes | None, partition: int = 0) -> list[ImageMessage]:
    headers = (("camera", b"north"), ("secret", b"x"), ("image_id", b"front-door"))
    return [
        ImageMessage("images", partition, offset, SENT_MS + offset, b"k%d" % offset, value, headers)
        for offset, value in enumerate(values)
    ]


BATCH = images(photo(1), b"no image", photo(2), photo(1, quality=60), None)


class Following(MemoryIndex):
    """An index that hears of a new generation when its sizes are asked for, or while it decides."""

    coming: IndexMeta | None = None
    comes_late = False

    def stats(self) -> IndexStats:
        if not self.comes_late:
            self._follow()
        return super().stats()

    def decide(self, queries: Sequence[Query]) -> list[Decision]:
        self._follow()
        return super().decide(queries)

    def _follow(self) -> None:
        self.meta, self.coming = self.coming or self.meta, None


def test_together_they_publish_what_one_consumer_does_to_the_byte(executor: ThreadPoolExecutor) -> None:
    whole = through(judging(MemoryIndex(META), executor), BATCH)
    first = through(describing(Head(META), executor), BATCH)
    second = through(deciding(MemoryIndex(META)), delivered(first))
    assert [each.topic for each in first] == ["descriptors", "dead", "descriptors", "descriptors", "dead"]
    assert second == [each for each in whole if each.topic == "verdicts"]
    assert [each for each in first if each.topic == "dead"] == [each for each in whole if each.topic == "dead"]
    assert ("camera", b"north") in second[0].headers


def test_a_partition_keeps_its_order_in_a_partition(executor: ThreadPoolExecutor) -> None:
    steps = describing(Head(META), executor)
    sent = [through(steps, images(photo(1), photo(2), partition=partition)) for partition in (0, 3)]
    assert [{each.partition for each in some} for some in sent] == [{0}, {3}]
    assert [each.key for each in sent[0]] == [decode_described(each.value).source.key for each in sent[0]]


def test_what_comes_again_is_told_again_though_one_consumer_has_judged_it(executor: ThreadPoolExecutor) -> None:
    index = MemoryIndex(META)
    whole = through(judging(index, executor), BATCH)
    come = delivered(through(describing(Head(META), executor), BATCH))
    steps = deciding(index)
    verdicts = [each for each in whole if each.topic == "verdicts"]
    assert through(steps, come) == through(steps, come) == verdicts
    assert through(steps, [*come, *come]) == [*verdicts, *verdicts]


def test_a_describer_takes_up_a_new_relation_and_describes_again_what_it_has_in_hand(
    executor: ThreadPoolExecutor,
) -> None:
    head = Head(META)
    steps = describing(head, executor)
    described = steps.describe(images(photo(1)))
    head.coming = meta_of(FLIPS)
    (outcome,) = steps.decide(described)
    assert len(decode_described(outcome.outgoing[0].value).query.compared) == 2
    assert len(decode_described(through(steps, images(photo(2)))[0].value).query.compared) == 2


def test_a_describer_ends_when_the_index_has_another_descriptor(executor: ThreadPoolExecutor) -> None:
    steps = describing(Head(META, coming=replace(META, fingerprint="dct-2")), executor)
    with pytest.raises(IndexMismatch):
        through(steps, images(photo(1)))


@pytest.mark.parametrize(
    ("meta", "named"),
    [(replace(META, fingerprint="other-1"), "other-1 (none;"), (meta_of(FLIPS), f"{DCT.fingerprint} (none, mirror;")],
    ids=["another descriptor", "another relation"],
)
def test_what_was_described_for_another_index_is_refused_by_name(
    executor: ThreadPoolExecutor, meta: IndexMeta, named: str
) -> None:
    come = delivered(through(describing(Head(META), executor), images(photo(1))))
    index = MemoryIndex(replace(meta, generation=9))
    steps = deciding(index)
    with pytest.raises(IndexMismatch) as refused:
        through(steps, come)
    said = str(refused.value)
    assert said.startswith(f"images-0-0 was described for {DCT.fingerprint} (none; no parts; keeping nothing), but ")
    assert f"index 'default', generation 9, compares {named}" in said
    assert "let describers of this index describe it again" in said
    assert list(index.members()) == []


def test_a_decider_follows_the_index_before_it_refuses(executor: ThreadPoolExecutor) -> None:
    index = Following(META)
    index.coming = meta_of(FLIPS)
    come = delivered(through(describing(Head(meta_of(FLIPS)), executor), images(photo(1))))
    (verdict,) = through(deciding(index), come)
    assert json.loads(verdict.value or b"")["verdict"] == "unique"


def test_a_generation_that_comes_while_it_decides_is_told_as_well(executor: ThreadPoolExecutor) -> None:
    index = Following(META)
    come = delivered(through(describing(Head(META), executor), images(photo(1))))
    steps = deciding(index)
    described = steps.describe(come)
    index.coming, index.comes_late = meta_of(FLIPS), True
    with pytest.raises(IndexMismatch, match=r"compares .*mirror"):
        steps.decide(described)


def test_what_is_damaged_is_a_dead_letter_of_the_message_it_came_in(executor: ThreadPoolExecutor) -> None:
    good, *_ = come = delivered(through(describing(Head(META), executor), images(photo(1), photo(2))))
    image = decode_described(come[1].value)
    short = replace(image, query=replace(image.query, descriptor=image.query.descriptor[:64] * 1.0))
    norm = float((short.query.descriptor.astype(float) ** 2).sum()) ** 0.5
    short = replace(image, query=replace(image.query, descriptor=(short.query.descriptor / norm).astype("float16")))
    control = replace(image, query=replace(image.query, image_id="a\nb"))
    mirrored = delivered(through(describing(Head(meta_of(FLIPS)), executor), images(photo(3))))[0]
    lying = replace(decode_described(mirrored.value), made_for=image.made_for)
    bad = [
        another(good, offset=7, value=(good.value or b"")[:-9]),
        *(another(good, offset=8 + at, value=encode_described(each)) for at, each in enumerate((short, lying))),
        another(good, offset=10, value=encode_described(control)),
        another(good, offset=11, value=None),
    ]
    index = MemoryIndex(META)
    verdict, *letters = through(deciding(index), [good, *bad])
    assert verdict.topic == "verdicts"
    assert [dict(each.headers)["error.reason"] for each in letters] == [
        *[b"bad-description"] * 3,
        b"bad-image-id",
        b"bad-description",
    ]
    assert [dict(each.headers)["error.source"] for each in letters] == [b"descriptors-0-%d" % at for at in range(7, 12)]
    assert [each.value for each in letters] == [each.value for each in bad]
    assert len(list(index.members())) == 1


def test_a_newer_version_ends_a_decider_and_loses_nothing(executor: ThreadPoolExecutor) -> None:
    (message,) = delivered(through(describing(Head(META), executor), images(photo(1))))
    value = message.value or b""
    body = value[:2] + b"\x07" + value[3:-4]
    newer = another(message, value=body + zlib.crc32(body).to_bytes(4, "little"))
    with pytest.raises(Misconfigured, match="version 7"):
        through(deciding(MemoryIndex(META)), [newer])


def test_an_outage_repeats_only_what_was_not_done(executor: ThreadPoolExecutor) -> None:
    class Away(Head):
        absences = 1

        def follow(self) -> None:
            if self.absences:
                self.absences -= 1
                raise RedisUnavailable("away")

    steps = describing(Away(META), executor)
    described = steps.describe(images(photo(1)))
    with pytest.raises(RedisUnavailable):
        steps.decide(described)
    assert len(steps.decide(described)) == 1


def test_what_was_described_is_counted_and_logged_as_that(
    executor: ThreadPoolExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    steps = describing(Head(META), executor, metrics)
    with caplog.at_level("INFO"):
        report_outcomes(steps.decide(steps.describe(BATCH)), {}, metrics)
    assert metrics.registry.get_sample_value("neardup_described_images_total") == 3
    assert metrics.registry.get_sample_value("neardup_images_total", {"verdict": "unique"}) == 0
    assert [record.message for record in caplog.records].count("described") == 3
    assert [record.message for record in caplog.records].count("dead letter") == 2


def test_a_describer_shows_no_sizes_of_an_index() -> None:
    metrics = Metrics()
    metrics.leave_out_index()
    metrics.show_build(META, "1.2.3")
    shown = {family.name for family in metrics.registry.collect()}
    assert {name for name in shown if name.startswith(("neardup_index", "neardup_cache"))} == set()
    assert {"neardup_build_info", "neardup_described_images", "neardup_ready"} <= shown
