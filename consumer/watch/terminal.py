"""The live view on a terminal, drawn by rich: one screen that is renewed in its place."""

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from consumer.watch.lines import lag_of, state_of
from consumer.watch.outcomes import done
from consumer.watch.settings import WatchSettings
from consumer.watch.shown import shown
from consumer.watch.tally import RATE_S, Seen, Tally
from consumer.watch.watcher import Watcher, title_of, watcher_of, watching
from neardup.wording import counted

TURN_S = 0.25
_BARS = " ▁▂▃▄▅▆▇█"
_BAR_COLUMNS = 40
_MOST_LETTERS = 3
_MOST_REASONS = 6
_AROUND = 4
"""Lines of the frame, of the space above the pairs, and of their head."""
_HUNDRED = 100


def show_terminal(settings: WatchSettings) -> None:
    """Draw what comes, until interrupted.

    Raises
    ------
    Misconfigured
        Kafka can never be read with these settings.
    """
    tally = Tally()
    watcher = watcher_of(settings, tally)
    with watching(watcher):
        draw(watcher, tally, Console(), title_of(settings))


def draw(watcher: Watcher, tally: Tally, console: Console, title: str) -> None:
    """Draw until the watcher stops."""
    screen = Screen(tally, title)
    try:
        with Live(screen, console=console, screen=True, auto_refresh=False) as live:
            while not watcher.stop.wait(TURN_S):
                live.refresh()
    finally:
        console.print(Summary(tally.seen()))


class Screen:
    """What the screen shows now.

    Parameters
    ----------
    tally
        What is shown.
    title
        What is watched.
    """

    def __init__(self, tally: Tally, title: str) -> None:
        self._tally = tally
        self._title = title

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it as high as the terminal is."""
        seen = self._tally.seen()
        height = options.height or console.height
        head: list[RenderableType] = [_state(seen), _figures(seen), _mix(seen)]
        letters = _letters(seen)
        fixed = sum(len(console.render_lines(each, options.update(width=options.max_width - 4))) for each in head)
        used = fixed + (len(seen.letters[:_MOST_LETTERS]) + 1 if letters else 0)
        room = max(1, height - used - _AROUND)
        rows = [*head, Text(), _pairs(seen, room), *([letters] if letters else [])]
        yield Panel(Group(*rows), title=Text(shown(self._title)), subtitle="Ctrl-C ends it", height=height)


class Summary:
    """What stays on the terminal when the screen is gone."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it."""
        del console, options
        yield _mix(self._seen)


def _state(seen: Seen) -> Text:
    if seen.away:
        return Text(f"● {state_of(seen)}, for {seen.away_s:.0f} s", style="bold red", overflow="ellipsis", no_wrap=True)
    return Text(f"● {state_of(seen)}", style="green")


def _figures(seen: Seen) -> Text:
    highest = max(seen.history) or 1
    # Rounded up: a second in which something came is never empty.
    bars = "".join(_BARS[-(-count * (len(_BARS) - 1) // highest)] for count in seen.history[-_BAR_COLUMNS - 1 : -1])
    lag_style = "yellow" if seen.lag is None or any(seen.lag.values()) else ""
    return Text.assemble(
        (f"{seen.rate:.1f}", "bold"),
        f" a second, of the last {RATE_S} s  ",
        (bars, "cyan"),
        "\nlag ",
        (lag_of(seen), lag_style),
    )


def _mix(seen: Seen) -> Text:
    text = Text.assemble(
        (f"{seen.unique:,} unique", "green"),
        f"{_share(seen.unique, seen)}  ",
        (counted(seen.duplicate, "duplicate", ","), "cyan"),
        f"{_share(seen.duplicate, seen)}  ",
        (counted(seen.dead, "dead letter", ","), "red" if seen.dead else ""),
        _share(seen.dead, seen),
    )
    shown_first = list(seen.reasons.items())[:_MOST_REASONS]
    for reason, count in shown_first:
        text.append(f"\n  {count:>8,} {shown(reason)}", "red")
    if left := len(seen.reasons) - len(shown_first):
        text.append(f"\n  and {left} more reasons", "red")
    if seen.unreadable:
        text.append(f"\n{seen.unreadable:,} records that are no verdict and no dead letter", "yellow")
    return text


def _share(count: int, seen: Seen) -> str:
    return f" ({_HUNDRED * count / seen.outcomes:.0f} %)" if seen.outcomes else ""


def _pairs(seen: Seen, room: int) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1), header_style="bold")
    table.add_column("image", ratio=3, no_wrap=True, overflow="ellipsis")
    table.add_column("is a duplicate of", ratio=3, no_wrap=True, overflow="ellipsis")
    table.add_column("distance", justify="right", no_wrap=True)
    table.add_column("what was done", ratio=3, no_wrap=True, overflow="ellipsis")
    for told in (each.told for each in seen.pairs[:room]):
        distance = "" if told.distance is None else f"{told.distance:.3f}"
        names = (Text(shown(name)) for name in (told.image_id, told.duplicate_of or ""))
        table.add_row(*names, distance, Text(shown(done(told))))
    return table


def _letters(seen: Seen) -> Text | None:
    if not seen.letters:
        return None
    text = Text("latest dead letters", style="bold", no_wrap=True, overflow="ellipsis")
    for letter in seen.letters[:_MOST_LETTERS]:
        text.append(f"\n{shown(letter.image_id)}: {shown(letter.reason)}: {shown(letter.detail)}", "not bold")
    return text
