"""The commands: what each is told, what it refuses, and how it ends."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import bootstrap.index
import consumer.__main__
from neardup import __version__
from neardup.cli import main
from neardup.cli.commands import COMMANDS, Command, command, family, named
from neardup.cli.running import EXIT_MISCONFIGURED, exit_code_of, foreign_lines, run_command, settings_of
from neardup.errors import Misconfigured, RedisUnavailable
from neardup.settings.command_line import flags_of
from neardup.settings.options import Option, options_of
from neardup.settings.subjects import SUBJECTS

ROOT = Path(__file__).parents[4]
HEAVY = ("numpy", "PIL", "kafka", "redis", "sklearn", "scipy", "tensorflow", "prometheus_client", "rich", "shtab")
ENTRANCES: dict[str, list[list[str]]] = {
    "neardup": [[], *(each.name.split() for each in COMMANDS)],
    "consumer": [[], ["--input", "x"]],
    "consumer.feed": [[]],
    "bootstrap": [[]],
    "bootstrap.calibrate": [[]],
    "bootstrap.index": [[], *([each.name.split()[1]] for each in family("index"))],
}
NEEDS = {
    "folder": ["x"],
    "report": ["x"],
    "undo": ["x"],
    "index show": ["x"],
    "index neighbours": ["x"],
    "index duplicates": ["x"],
    "index explain": ["x", "y"],
    "index remove": ["x"],
    "index set-radius": ["0.5"],
    "index export": ["x"],
    "index copy-to": ["redis://x"],
    "export": ["--format", "csv", "--output", "x"],
    "bootstrap": ["x"],
    "completion": ["bash"],
}
"""What has to be there for the settings of a command to be whole."""


def ids(each: object) -> str:
    return each.name if isinstance(each, Command) else str(each)


def foreign() -> Iterator[tuple[Command, str, Option]]:
    """Iterate over every command with every flag that only others have."""
    everywhere = {flag: option for each in COMMANDS for flag, option in flags_of(each.settings_class).items()}
    for each in COMMANDS:
        own = flags_of(each.settings_class)
        yield from ((each, flag, option) for flag, option in everywhere.items() if flag not in own)


# Flags of other commands.


@pytest.mark.parametrize("each", COMMANDS, ids=ids)
def test_every_flag_of_another_command_is_refused_in_one_line(
    each: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = [(flag, option) for one, flag, option in foreign() if one is each]
    assert flags
    for flag, option in flags:
        value = [] if option.switch else ["5"]
        assert run_command(each, [*NEEDS.get(each.name, []), flag, *value], {}) == EXIT_MISCONFIGURED
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(
            f"{each.error_prefix}{flag} is not a setting of {each.called or f'neardup {each.name}'}; "
        )
        having = [other for other in COMMANDS if flag in flags_of(other.settings_class)]
        assert all(f"neardup {other.name}" in line or "neardup index " in f"{line} " for other in having), line


@pytest.mark.parametrize("each", COMMANDS, ids=ids)
def test_variables_of_other_commands_are_ignored(each: Command) -> None:
    strange = {
        env: "?" for one, _, option in foreign() if one is each for env in (*option.envs, option.file_env) if env
    }
    own = {env for option in flags_of(each.settings_class).values() for env in (*option.envs, option.file_env)}
    environ = {env: text for env, text in strange.items() if env not in own}
    assert environ
    assert settings_of(each, NEEDS.get(each.name, []), environ) == settings_of(each, NEEDS.get(each.name, []), {})


# Variables.

LIKE_OURS = {
    "NEARDUP_SERVICE_HOST": "10.0.0.1",
    "NEARDUP_CONSUMER_SERVICE_PORT_METRICS": "9108",
    "NEARDUP_PORT": "tcp://10.0.0.1:9108",
    "NEARDUP_PORT_9108_TCP_ADDR": "10.0.0.1",
    "NEARDUP_DATA": "/photos",
    "NEARDUP_NOTHING": "",
}
"""Set by Kubernetes for a service, for our own benchmarks, and to nothing."""


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("NEARDUP_REDIS", "; did you mean NEARDUP_REDIS_URL?"),
        ("NEARDUP_METRIC_PORT", "; did you mean NEARDUP_METRICS_PORT?"),
        ("NEARDUP_SASL_PASSWORD_FIEL", "; did you mean NEARDUP_SASL_PASSWORD_FILE?"),
        ("NEARDUP_XYZZY", ""),
    ],
)
def test_a_variable_that_nobody_reads_is_told_of_once(
    name: str, meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    environ = {name: "x", "NEARDUP_FPS": "5", "HOME": "/", **LIKE_OURS}
    assert run_command(command("feed"), [], environ) == EXIT_MISCONFIGURED
    warning, error = capsys.readouterr().err.splitlines()
    assert warning == f"feed: warning: {name}: there is no such variable{meant}"
    assert error.startswith("feed: PATH")


TOOLS = (
    "stats, wait, show, neighbours, duplicates, explain, verify, repair, remove, set-radius, rebuild, export, copy-to, "
    "rollback, release"
)
FPS_HAVING = "folder mode (neardup folder), neardup report, neardup feed and neardup bootstrap have it"
JUDGES = "the service (neardup consume), the look-up service (neardup serve), folder mode (neardup folder)"
ALL_WITH_REDIS = f"{JUDGES}, neardup bootstrap, neardup calibrate and neardup index"


@pytest.mark.parametrize(
    ("name", "words", "lines"),
    [
        ("consume", "--fps 5", [f"--fps is not a setting of the service; {FPS_HAVING}"]),
        ("consume", "--rate=5", ["--rate is not a setting of the service; neardup feed and neardup backfill have it"]),
        (
            "index stats",
            "--limit 3",
            ["--limit is not a setting of neardup index stats; neardup index neighbours has it"],
        ),
        (
            "consume",
            "--json x",
            [
                "--json is not a setting of the service; neardup calibrate and neardup index have it",
                "'x': the service takes no such argument",
            ],
        ),
        (
            "feed",
            "--redis-password-file x",
            [f"--redis-password-file is not a setting of neardup feed; {ALL_WITH_REDIS} have it"],
        ),
        (
            "consume",
            "--batch-sise 3 --fresh",
            [
                "--batch-sise: there is no such flag; did you mean --batch-size?",
                "--fresh is not a setting of the service; neardup bootstrap has it",
            ],
        ),
        ("consume", "--zzzzzz -1", ["--zzzzzz: there is no such flag"]),
        ("consume", "photos", ["'photos': the service takes no such argument"]),
    ],
)
def test_what_a_command_does_not_have(name: str, words: str, lines: list[str]) -> None:
    assert list(foreign_lines(command(name), words.split())) == lines


def test_the_flags_that_the_service_once_took_and_never_read_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    dead = [
        "--threshold=0.1",
        "--match-flips",
        "--profile",
        "camera",
        "--local-change=3",
        "--output",
        "x",
        "--fps",
        "5",
    ]
    assert consumer.__main__.main(dead, {}) == EXIT_MISCONFIGURED
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == [
        "--threshold",
        "--match-flips",
        "--profile",
        "--local-change",
        "--output",
        "--fps",
    ]
    assert all(line.startswith("consumer: --") for line in lines)
    assert bootstrap.index.main(["stats", "--since", "7d", "--limit", "3", "--weights", "w"], {}) == EXIT_MISCONFIGURED
    assert len(capsys.readouterr().err.splitlines()) == 3


@pytest.mark.parametrize(
    "flags", [["--threshold", "0.3"], ["--radius", "0.3"], ["--profile", "camera"], ["--no-match-flips"]]
)
def test_a_folder_with_an_index_in_redis_refuses_what_that_index_answers(
    flags: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(command("folder"), ["x", *flags, "--index", "cams"], {}) == EXIT_MISCONFIGURED
    flag = flags[0].replace("--no-", "--")
    says = f"folder: {flag} works only with --index memory; an index in Redis has its bootstrap's\n"
    assert capsys.readouterr().err == says
    settings_of(command("folder"), ["x", *flags], {})
    settings_of(
        command("folder"), ["x"], {"NEARDUP_INDEX": "cams", "NEARDUP_RADIUS": "0.3", "NEARDUP_PROFILE": "camera"}
    )


def test_a_family_that_is_whole_goes_by_its_first_word() -> None:
    assert list(named(COMMANDS))[-3:] == ["neardup calibrate", "neardup index", "neardup completion"]
    assert list(named([command("index show")])) == ["neardup index show"]


# The entrances that were there before.


@pytest.mark.parametrize("environ", [{}, {"NEARDUP_INPUT": "/no/such/folder"}])
def test_an_input_makes_it_folder_mode(environ: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [] if environ else ["--input=/no/such/folder"]
    assert consumer.__main__.main([*arguments, "--group", "x"], environ) == EXIT_MISCONFIGURED
    said = "folder: --group is not a setting of folder mode; the service (neardup consume) and neardup watch have it\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    "arguments", [["--json", "stats", "--limit", "3"], ["--index", "show", "stats", "--limit", "3"]]
)
def test_a_tool_may_stand_behind_flags(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert bootstrap.index.main(arguments, {}) == EXIT_MISCONFIGURED
    assert capsys.readouterr().err.startswith("--limit is not a setting of neardup index stats;")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], f"COMMAND: name one of {TOOLS}\n"),
        (
            ["verfy"],
            "COMMAND: there is no 'verfy'; did you mean verify?\n",
        ),
    ],
)
def test_a_tool_has_to_be_named(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert bootstrap.index.main(arguments, {}) == EXIT_MISCONFIGURED
    assert capsys.readouterr().err == said


def loaded_by(module: str, arguments: list[str]) -> str:
    program = (
        f"import runpy, sys; sys.argv = [{module!r}, *{arguments!r}]\n"
        f"try: runpy.run_module({module!r}, run_name='__main__', alter_sys=True)\n"
        f"except SystemExit as ended: print('LOADED', ended.code, sorted({{*{HEAVY!r}}} & {{*sys.modules}}))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert len(ran.stdout.splitlines()) > 5
    return ran.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("module", "arguments"), [(module, each) for module, many in ENTRANCES.items() for each in many], ids=str
)
def test_help_waits_for_nothing_heavy(module: str, arguments: list[str]) -> None:
    assert loaded_by(module, [*arguments, "--help"]) in {"LOADED 0 []", "LOADED None []"}


# The door.


def test_alone_it_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], {}) == 0
    alone = capsys.readouterr().out
    assert main(["--help"], {}) == 0
    assert capsys.readouterr().out == alone
    for each in COMMANDS:
        assert f"\n  {each.name} " in alone
        assert each.text in alone


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"], {}) == 0
    assert capsys.readouterr().out == f"neardup {__version__}\n"


@pytest.mark.parametrize(
    ("word", "instead"),
    [
        ("consum", "; did you mean consume?"),
        ("indx", "; did you mean index?"),
        ("xyzzy", ""),
        ("--versoin", "; did you mean --version?"),
    ],
)
def test_a_mistyped_command(word: str, instead: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word, "--index", "x"], {}) == EXIT_MISCONFIGURED
    assert capsys.readouterr().err == f"neardup: there is no command {word!r}{instead}\n"


@pytest.mark.parametrize("each", COMMANDS, ids=ids)
class TestEachCommand:
    def test_help_has_what_is_common_and_names_the_rest(
        self, each: Command, capsys: pytest.CaptureFixture[str]
    ) -> None:
        short, full = (help_of(each, flag, capsys) for flag in ("--help", "--help-all"))
        assert short.startswith(f"usage: neardup {each.name} [")
        hidden = 0
        for _, declared in options_of(each.settings_class):
            shown = declared.flag if declared.positional else f"  {declared.flag} "
            assert shown in full.replace(",", " ")
            assert (shown in short.replace(",", " ")) is declared.common
            hidden += not declared.common
        assert (f"neardup {each.name} --help-all" in short) is bool(hidden)
        titles = [line[:-1] for line in full.splitlines() if line.endswith(":") and not line.startswith(" ")]
        assert titles[0] == "Most used"
        assert titles[1:] == [subject for subject in SUBJECTS if subject in titles]

    def test_a_mistyped_flag(self, each: Command, capsys: pytest.CaptureFixture[str]) -> None:
        flag = next(iter(flags_of(each.settings_class)), None)
        typo = f"{flag[:-1]}~" if flag else "--shel"
        assert main([*each.name.split(), *NEEDS.get(each.name, []), typo, "x"], {}) == EXIT_MISCONFIGURED
        [line] = capsys.readouterr().err.splitlines()
        assert line.startswith(f"{each.error_prefix}{typo}: there is no such flag")
        assert not flag or "; did you mean --" in line

    def test_a_flag_without_its_value(self, each: Command, capsys: pytest.CaptureFixture[str]) -> None:
        flags = [
            flag for flag, option in flags_of(each.settings_class).items() if not option.switch and not option.bare
        ]
        for flag in flags:
            assert main([*each.name.split(), flag], {}) == EXIT_MISCONFIGURED
            assert capsys.readouterr().err == f"{each.error_prefix}argument {flag}: expected one argument\n"


def help_of(each: Command, flag: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*each.name.split(), flag], {})
    assert not ended.value.code
    return capsys.readouterr().out


@pytest.mark.slow
def test_the_door_and_the_modules_do_the_same() -> None:
    for door, module in (
        (["folder", "/no/such"], ["consumer", "--input", "/no/such"]),
        (["feed", "/no/such"], ["consumer.feed", "/no/such"]),
        (["bootstrap"], ["bootstrap"]),
        (["index", "show"], ["bootstrap.index", "show"]),
        (["calibrate", "--false-pairs", "2"], ["bootstrap.calibrate", "--false-pairs", "2"]),
        (["consume", "--group"], ["consumer", "--group"]),
    ):
        ended = [run_as_process("-m", *words) for words in (["neardup", *door], module)]
        assert ended[0] == ended[1]
        assert ended[0][0] == EXIT_MISCONFIGURED
        assert len(ended[0][1].splitlines()) == 1


def run_as_process(*words: str) -> tuple[int, str]:
    ran = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, cwd=ROOT)
    return ran.returncode, ran.stderr


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (Misconfigured("one\ntwo"), 2, "x: one\nx: two\n"),
        (RedisUnavailable("away"), 1, "x: away\n"),
        (KeyboardInterrupt(), 130, "x: interrupted\n"),
        (None, 7, ""),
    ],
)
def test_exit_codes(error: BaseException | None, code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> int:
        if error:
            raise error
        return 7

    assert exit_code_of(work, "x: ") == code
    assert capsys.readouterr().err == said


# Completion.


def completion_of(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell], {}) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh", "fish"])
def test_each_shell_has_a_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    script = completion_of(shell, capsys)
    assert "neardup" in script
    assert "verify" in script


def test_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "ksh"], {}) == EXIT_MISCONFIGURED
    assert capsys.readouterr().err == "SHELL: 'ksh' is wrong: it should be one of bash, zsh, tcsh, fish\n"


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["fol"], ["folder"]),
        (["index", "ver"], ["verify"]),
        (["consume", "--verd"], ["--verdicts-topic"]),
        (["bootstrap", "--prof"], ["--profile"]),
        (["bootstrap", "--profile", "sc"], ["scraper"]),
        (["index", "repair", "--dr"], ["--dry-run"]),
        (["completion", "z"], ["zsh"]),
    ],
)
def test_bash_completes(
    words: list[str], completed: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "completion.bash"
    script.write_text(completion_of("bash", capsys))
    ask = "source $1; shift; COMP_WORDS=(neardup $@); COMP_CWORD=$#; _shtab_neardup; echo ${COMPREPLY[@]}"
    for program in (["-n", str(script)], ["--norc", "-c", ask, "bash", str(script), *words]):
        ran = subprocess.run(["bash", *program], capture_output=True, text=True, check=True)  # noqa: S607 - any bash
        assert ran.stderr == ""
    assert ran.stdout.split() == completed
