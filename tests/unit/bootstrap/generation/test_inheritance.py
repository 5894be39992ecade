"""Every field of an index's metadata is inherited or made anew, and has words where it can change."""

from dataclasses import fields, replace

from bootstrap.generation.inheritance import INHERITED, MADE_ANEW, changes, told
from bootstrap.settings import Settings
from neardup.index.base import IndexMeta
from neardup.relation.symmetry import SWITCHES

META = IndexMeta("cams", 3, "dct", "dct-3", 128, 0.3)


def test_no_field_is_forgotten() -> None:
    names = [*INHERITED, *MADE_ANEW]
    assert sorted(names) == sorted(field.name for field in fields(IndexMeta))


def test_what_is_inherited_under_its_own_name_is_a_setting() -> None:
    settings = {field.name for field in fields(Settings)}
    assert set(INHERITED) - {"pca", "calibration"} <= settings
    assert set(SWITCHES) <= set(INHERITED)


def test_what_is_inherited_is_told_in_words() -> None:
    inherited = {name: getattr(META, name) for name in INHERITED}
    assert told(inherited) == (
        "descriptor dct, projection off, radius 0.3, local change any, agreement off, match-flips off, "
        "match-rotations off, match-parts off"
    )


def test_changes_are_told_in_words() -> None:
    assert changes(META, replace(META, generation=4, created_at="now", seed={"images": 1}, clusters=7)) == []
    after = replace(META, radius=0.36, local_change=2.5, match_flips=True)
    assert changes(META, after) == ["radius 0.3 -> 0.36", "local change any -> 2.5", "match-flips off -> on"]
    assert changes(after, META)[1] == "local change 2.5 -> any"
    assert changes(META, replace(META, descriptor="copynet", fingerprint="c-1")) == ["descriptor dct -> copynet"]
    assert changes(META, replace(META, fingerprint="dct-4")) == ["fingerprint dct-3 -> dct-4"]
    projected = replace(META, pca="pca-1:6-abc", fingerprint="dct-3+pca-1:6-abc")
    assert changes(META, projected) == ["projection off -> pca-1:6-abc"]
