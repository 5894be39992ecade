"""Settings as one frozen dataclass per command: each field is a flag, an environment variable and a default.

A field's declaration says everything about its setting; `neardup.settings.reading` reads the settings.
"""

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from neardup.errors import Misconfigured
from neardup.settings.parsers import boolean
from neardup.settings.subjects import OTHERS

ENV_PREFIX = "NEARDUP_"
_KEY = "option"


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """How one field is set.

    Attributes
    ----------
    flag
        As on the command line, ``--redis``; a name without hyphens is a positional argument.
    env
        Its environment variable; empty for none.
    default_text
        What help and docs show.
    text
        One line of help.
    parse
        Parses a text; raises ValueError that says what it should be.
    subject
        Its group in help and docs.
    common
        Whether most users need it: then it is in the short help.
    aliases
        Other flags for the same setting, such as earlier names; each has its own variable.
    switch
        Whether it is a flag without a value.
    many
        Takes one or more values (positional) or may be repeated (flag); the field is a tuple.
    secret
        Masked wherever settings are shown; may be in a file that `file_flag` or `file_env` names.
    bare
        What the flag means without a value; empty if it needs one.
    required
        There is no default: the flag or the variable must be given.
    """

    flag: str
    env: str
    default_text: str
    text: str
    parse: Callable[[str], Any]
    subject: str = OTHERS
    common: bool = False
    aliases: tuple[str, ...] = ()
    switch: bool = False
    many: bool = False
    secret: bool = False
    bare: str = ""
    required: bool = False

    @property
    def positional(self) -> bool:
        """Whether it is an argument without a flag."""
        return not self.flag.startswith("-")

    @property
    def flags(self) -> tuple[str, ...]:
        """All flags that name it; none for a positional argument without an alias."""
        return self.aliases if self.positional else (self.flag, *self.aliases)

    @property
    def alias_envs(self) -> tuple[str, ...]:
        """The environment variables of its aliases."""
        return tuple(env for env in map(_env_of, self.aliases) if env != self.env) if self.env else ()

    @property
    def envs(self) -> tuple[str, ...]:
        """All environment variables that name it."""
        return (self.env, *self.alias_envs) if self.env else ()

    @property
    def file_flag(self) -> str:
        """The flag that names a file with the value; empty if it is not a secret."""
        return f"{self.flag}-file" if self.secret and not self.positional else ""

    @property
    def file_env(self) -> str:
        """The environment variable that names a file with the value; empty if it is not a secret."""
        return f"{self.env}_FILE" if self.secret and self.env else ""


def option(
    flag: str,
    text: str,
    default: Any = dataclasses.MISSING,  # noqa: ANN401 - of the field's own type
    parse: Callable[[str], Any] = str,
    *,
    subject: str = OTHERS,
    common: bool = False,
    aliases: tuple[str, ...] = (),
    env: str | None = None,
    many: bool = False,
    secret: bool = False,
    bare: str = "",
) -> Any:  # noqa: ANN401 - stands where a field's default stands
    """Declare a field of a settings dataclass; `env` defaults to the flag's name with the prefix."""
    switch = isinstance(default, bool)
    declared = Option(
        flag=flag,
        env=_env_of(flag) if env is None else env,
        default_text=_default_text(default),
        text=text,
        parse=boolean if switch else parse,
        subject=subject,
        common=common,
        aliases=aliases,
        switch=switch,
        many=many,
        secret=secret,
        bare=bare,
        required=default is dataclasses.MISSING,
    )
    return dataclasses.field(default=default, metadata={_KEY: declared}, repr=not secret)


def _env_of(flag: str) -> str:
    return ENV_PREFIX + flag.lstrip("-").replace("-", "_").upper() if flag.startswith("--") else ""


def _default_text(default: Any) -> str:  # noqa: ANN401 - of the field's own type
    if default is dataclasses.MISSING or default is None:
        return ""
    return ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)


def variables_of(settings: type[Any]) -> dict[str, str]:
    """Return every environment variable that the settings read, with the one that is meant by it.

    A variable named by its flag may be another one: ``NEARDUP_REDIS`` means ``NEARDUP_REDIS_URL``.
    """
    found: dict[str, str] = {}
    for _, declared in options_of(settings):
        read = [env for env in (*declared.envs, declared.file_env) if env]
        found |= {_env_of(flag): declared.env for flag in declared.flags if read} | {env: env for env in read}
    return found


def options_of(settings: type[Any]) -> Iterator[tuple[str, Option]]:
    """Iterate over field names and their options."""
    for field in dataclasses.fields(settings):
        if _KEY in field.metadata:
            yield field.name, field.metadata[_KEY]


def refuse(contradictions: Iterable[str]) -> None:
    """Refuse settings that contradict one another.

    Raises
    ------
    Misconfigured
        With a line for each contradiction, if there are any.
    """
    wrong = list(contradictions)
    if wrong:
        raise Misconfigured("\n".join(wrong))
