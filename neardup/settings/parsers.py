"""Parsers of settings: each returns a value, or raises ValueError that says what the text should be."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


def boolean(text: str) -> bool:
    """Parse a switch given by environment variable."""
    if text.lower() in {"1", "true", "yes", "on"}:
        return True
    if text.lower() in {"0", "false", "no", "off"}:
        return False
    raise ValueError("it should be 1 or 0")


def integer(minimum: int, maximum: int) -> Callable[[str], int]:
    """Return a parser of whole numbers within both limits."""

    def parse(text: str) -> int:
        wanted = f"a whole number from {minimum} to {maximum}"
        if not text.strip().removeprefix("-").isdecimal() or not minimum <= int(text) <= maximum:
            raise ValueError(f"it should be {wanted}")
        return int(text)

    return parse


def number(minimum: float, maximum: float) -> Callable[[str], float]:
    """Return a parser of numbers within both limits."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not minimum <= value <= maximum:
            raise ValueError(f"it should be a number from {minimum:g} to {maximum:g}")
        return value

    return parse


def header_names(*taken: str) -> Callable[[str], tuple[str, ...]]:
    """Return a parser of names that commas separate; none may be one of `taken`."""

    def parse(text: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in text.split(",") if name.strip())
        if not {*names}.isdisjoint(taken):
            raise ValueError(f"it should be names of headers other than {' and '.join(taken)}")
        return names

    return parse


@dataclass(frozen=True, slots=True)
class _OneOf:
    choices: tuple[str, ...]

    def __call__(self, text: str) -> str:
        if text not in self.choices:
            raise ValueError(f"it should be one of {', '.join(self.choices)}")
        return text


def one_of(*choices: str) -> Callable[[str], str]:
    """Return a parser that takes one of the choices."""
    return _OneOf(choices)


def choices_of(parse: Callable[[str], Any]) -> tuple[str, ...]:
    """Return the choices of `one_of`; none of any other parser."""
    return parse.choices if isinstance(parse, _OneOf) else ()


def auto_or(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a parser that returns None for ``auto`` and `parse` of everything else."""
    return word_or("auto", None, parse)


def off_or(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a parser that returns None for ``off`` and `parse` of everything else."""
    return word_or("off", None, parse)


def word_or(word: str, value: Any, parse: Callable[[str], Any]) -> Callable[[str], Any]:  # noqa: ANN401 - as below
    """Return a parser that returns a value for a word, and `parse` of everything else."""

    def parse_others(text: str) -> Any:  # noqa: ANN401 - of the field's own type
        if text == word:
            return value
        try:
            return parse(text)
        except ValueError as exc:
            raise ValueError(f"{exc}, or {word}") from exc

    return parse_others


_UNITS_S = {"s": 1, "m": 60, "h": 60 * 60, "d": 24 * 60 * 60}


def duration_or_off(text: str) -> int | None:
    """Parse a duration such as ``30d`` to seconds; None for ``off``."""
    if text == "off":
        return None
    amount, unit = text[:-1], text[-1:]
    if unit not in _UNITS_S or not amount.isdecimal() or not int(amount):
        raise ValueError("it should be a whole number with s, m, h or d, such as 30d, or off")
    return int(amount) * _UNITS_S[unit]


def duration_text(seconds: int) -> str:
    """Return a duration as `duration_or_off` reads it, in the largest unit that says it without a rest."""
    unit, size = max((each for each in _UNITS_S.items() if seconds % each[1] == 0), key=lambda each: each[1])
    return f"{seconds // size}{unit}"
