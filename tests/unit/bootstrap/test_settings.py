from pathlib import Path

import pytest

from bootstrap.__main__ import main
from bootstrap.settings import Settings, components
from neardup.cli.running import EXIT_MISCONFIGURED
from neardup.decoding.limits import DecodeLimits
from neardup.descriptors import DEFAULT
from neardup.descriptors.dct import DctDescriptor
from neardup.errors import Misconfigured
from neardup.relation.local_change import DEFAULT_LOCAL_CHANGE
from neardup.relation.looks.second_look import DEFAULT_AGREEMENT
from neardup.settings.options import options_of
from neardup.settings.parsers import boolean
from neardup.settings.profiles import PROFILES
from neardup.settings.reading import read_settings


def settings_of(*arguments: str, **environ: str) -> Settings:
    return read_settings(Settings, arguments, environ, prog="bootstrap", description="")


def test_defaults_are_those_of_the_library() -> None:
    settings = settings_of("photos")
    assert DecodeLimits(settings.max_image_bytes, settings.max_image_pixels) == DecodeLimits()
    assert settings.descriptor == DEFAULT
    assert settings.seeds == ("photos",)
    assert settings.redis_url == "redis://127.0.0.1:6379/0"
    assert (settings.clusters, settings.radius, settings.workers) == (None, None, None)


@pytest.mark.parametrize(
    ("text", "agreement"), [("auto", DEFAULT_AGREEMENT), ("off", None), ("0", 0.0), ("0.25", 0.25), ("1", 1.0)]
)
def test_agreement_is_a_number_or_a_word(text: str, agreement: float | None) -> None:
    assert settings_of("photos", "--agreement", text).agreement == agreement


@pytest.mark.parametrize("text", ["1.1", "-0.1", "nan", "yes", ""])
def test_agreement_is_a_share(text: str) -> None:
    with pytest.raises(Misconfigured, match=r"--agreement: .* it should be a number from 0 to 1, or auto, or off"):
        settings_of("photos", f"--agreement={text}")


def test_every_flag_is_an_environment_variable_too() -> None:
    environ = {
        "NEARDUP_SEEDS": "a,b",
        "NEARDUP_REDIS_URL": "redis://:secret@host/1",
        "NEARDUP_INDEX": "cats",
        "NEARDUP_REDIS_PASSWORD": "hidden",
        "NEARDUP_CLUSTERS": "7",
        "NEARDUP_DESCRIPTOR": "pixels:320",
        "NEARDUP_WEIGHTS": "file.h5",
        "NEARDUP_PROJECT": "64",
        "NEARDUP_WHITEN": "1",
        "NEARDUP_RADIUS": "0.023",
        "NEARDUP_FALSE_PAIRS": "1e-5",
        "NEARDUP_LOCAL_CHANGE": "4.5",
        "NEARDUP_AGREEMENT": "0.65",
        "NEARDUP_MATCH_FLIPS": "1",
        "NEARDUP_MATCH_ROTATIONS": "1",
        "NEARDUP_MATCH_PARTS": "1",
        "NEARDUP_PROFILE": "scraper",
        "NEARDUP_REPORT": "out",
        "NEARDUP_EXPORT": "x.json",
        "NEARDUP_IMPORT": "y.json",
        "NEARDUP_FPS": "2.5",
        "NEARDUP_LARGEST_FIRST": "1",
        "NEARDUP_IF_MISSING": "1",
        "NEARDUP_FRESH": "1",
        "NEARDUP_ALLOW_DROPPING": "1",
        "NEARDUP_DRY_RUN": "1",
        "NEARDUP_KEEP_PREVIOUS": "7d",
        "NEARDUP_WORKERS": "3",
        "NEARDUP_ENGINE": "ray",
        "NEARDUP_RAY_ADDRESS": "10.0.0.1:6379",
        "NEARDUP_MAX_IMAGE_BYTES": "1000",
        "NEARDUP_MAX_IMAGE_PIXELS": "2000",
        "NEARDUP_DECODE_TIMEOUT": "2.5",
        "NEARDUP_DECODE_MEMORY_BYTES": "100000000",
        "NEARDUP_FORMATS": "jpeg,png",
        "NEARDUP_TRUNCATED": "accept",
    }
    expected = Settings(
        seeds=("a", "b"),
        redis_url="redis://:secret@host/1",
        redis_password="hidden",  # noqa: S106 - invented
        index="cats",
        if_missing=True,
        fresh=True,
        allow_dropping=True,
        dry_run=True,
        keep_previous="7d",
        clusters=7,
        descriptor="pixels:320",
        weights="file.h5",
        project=64,
        whiten=True,
        radius=0.023,
        false_pairs=1e-5,
        local_change=4.5,
        agreement=0.65,
        match_flips=True,
        match_rotations=True,
        match_parts=True,
        profile="scraper",
        report=Path("out"),
        export=Path("x.json"),
        import_from=Path("y.json"),
        fps=2.5,
        largest_first=True,
        workers=3,
        engine="ray",
        ray_address="10.0.0.1:6379",
        max_image_bytes=1000,
        max_image_pixels=2000,
        decode_timeout_s=2.5,
        decode_memory_bytes=100_000_000,
        formats=("JPEG", "PNG"),
        truncated="accept",
    )
    assert settings_of(**environ) == expected
    assert set(environ) == {declared.env for _, declared in options_of(Settings)}


def test_flags_override_the_environment() -> None:
    assert settings_of("photos", "--clusters", "auto", NEARDUP_CLUSTERS="7").clusters is None


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(settings_of("photos", "--redis", "redis://:secret@host/1"))


def test_all_wrong_values_are_told_together() -> None:
    with pytest.raises(Misconfigured) as error:
        settings_of("photos", "--clusters", "0", "--radius", "2.5", "--fps", "nan")
    lines = str(error.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["--clusters", "--radius", "--fps"]


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], ["SEEDS"]),
        (["photos", "--import", "x.json"], ["SEEDS"]),
        (["--import", "x.json", "--largest-first"], ["--largest-first"]),
        (["--import", "x.json", "--clusters", "3", "--report", "out"], ["--clusters", "--report"]),
        (["photos", "--export", "x.json", "--dry-run"], ["--export"]),
        (["photos", "--ray-address", "10.0.0.1:6379"], ["--ray-address"]),
    ],
)
def test_contradictions_are_told_together(arguments: list[str], names: list[str]) -> None:
    with pytest.raises(Misconfigured) as error:
        settings_of(*arguments).check()
    assert [line.partition(":")[0] for line in str(error.value).splitlines()] == names


def test_a_profile_sets_what_is_not_given() -> None:
    camera, scraper, dataset = (settings_of("photos", "--profile", name) for name in PROFILES)
    assert (camera.local_change, camera.match_flips) == (DEFAULT_LOCAL_CHANGE, False)
    assert (scraper.local_change, scraper.match_flips, scraper.match_rotations) == (None, True, True)
    assert [each.match_parts for each in (camera, scraper, dataset)] == [False, True, False]
    assert [each.agreement for each in (camera, scraper, dataset)] == [None, DEFAULT_AGREEMENT, None]
    assert [each.descriptor for each in (camera, scraper, dataset)] == ["dct", "copynet", "dct"]
    assert (dataset.local_change, dataset.match_flips, dataset.match_rotations) == (None, False, False)
    assert dataset.false_pairs < scraper.false_pairs == Settings().false_pairs
    assert camera.radius == DctDescriptor().default_radius


def test_what_is_given_wins_over_the_profile() -> None:
    camera = settings_of("photos", "--profile", "camera", "--local-change", "off", NEARDUP_FPS="5")
    assert (camera.local_change, camera.fps) == (None, 5.0)
    assert settings_of("photos", "--threshold", "auto", NEARDUP_PROFILE="camera").radius is None
    assert settings_of("photos", "--profile", "scraper", "--descriptor", "dct").descriptor == "dct"
    without_look = settings_of("photos", "--profile", "scraper", "--agreement", "off")
    assert (without_look.agreement, without_look.match_parts, without_look.match_flips) == (None, False, True)
    assert not settings_of("photos", "--profile", "scraper", "--no-match-parts").match_parts
    assert settings_of("photos", "--profile", "scraper", NEARDUP_DESCRIPTOR="pixels").descriptor == "pixels"


def test_settings_know_what_was_given() -> None:
    read = settings_of("photos", "--profile", "camera", "--radius", "auto", "--no-whiten", NEARDUP_LOCAL_CHANGE="off")
    said = {name for name, _ in options_of(Settings) if read.says(name)}
    assert said == {"seeds", "profile", "radius", "whiten", "local_change"}
    made = Settings(seeds=("photos",), radius=0.3, project="off")
    assert {name for name, _ in options_of(Settings) if made.says(name)} == {"seeds", "radius"}


@pytest.mark.parametrize(("text", "milliseconds"), [("90m", 5_400_000), ("off", 0)])
def test_how_long_the_previous_generation_is_kept(text: str, milliseconds: int) -> None:
    assert settings_of("photos", "--keep-previous", text).keep_ms == milliseconds
    with pytest.raises(Misconfigured, match="--keep-previous: 'a day' is wrong: it should be a whole number with"):
        settings_of("photos", "--keep-previous", "a day")


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_says_what_settings_may_say(name: str) -> None:
    parsers = {field: (declared.parse, declared.switch) for field, declared in options_of(Settings)}
    for field, value in PROFILES[name].items():
        parse, switch = parsers[field]
        assert (boolean if switch else parse)(str(value)) == value


def test_import_brings_its_own_relation() -> None:
    arguments = ["--import", "x.json", "--local-change", "3", "--match-flips", "--match-rotations"]
    with pytest.raises(Misconfigured) as error:
        settings_of(*arguments).check()
    names = [line.partition(":")[0] for line in str(error.value).splitlines()]
    assert names == ["--local-change", "--match-flips", "--match-rotations"]
    with pytest.raises(Misconfigured, match=r"^--profile: cannot be combined with --import$"):
        settings_of("--import", "x.json", "--profile", "camera").check()


def test_import_needs_no_seeds() -> None:
    settings_of("--import", "x.json").check()


def test_wrong_settings_are_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["photos", "--fps", "0"], {}) == EXIT_MISCONFIGURED
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(("text", "expected"), [("off", "off"), ("auto", "auto"), ("2", 2), ("4096", 4096)])
def test_project_is_a_number_or_a_word(text: str, expected: object) -> None:
    assert components(text) == expected


@pytest.mark.parametrize("text", ["", "0", "1", "4097", "-3", "1.5", "all"])
def test_other_values_of_project_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"a whole number from 2 to 4096, auto or off$"):
        components(text)


def test_whiten_goes_with_project() -> None:
    with pytest.raises(Misconfigured, match=r"^--whiten: works only with --project$"):
        Settings(seeds=("a",), whiten=True).check()
    Settings(seeds=("a",), whiten=True, project="auto").check()


def test_a_file_brings_its_own_projection() -> None:
    with pytest.raises(Misconfigured, match=r"^--project: cannot be combined with --import$"):
        Settings(import_from=Path("x.json"), project=64).check()
