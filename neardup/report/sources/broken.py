"""Lines and records that are no verdicts: counted, and the first of them named."""

from dataclasses import dataclass, field

_NAMED = 3
_MOST_CHARACTERS = 200


@dataclass(slots=True)
class Broken:
    """What could not be read: how much, and the first of it, with where it stands and why."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        """Take one more."""
        self.count += 1
        if len(self.examples) < _NAMED:
            self.examples.append(example[:_MOST_CHARACTERS])

    def told(self) -> list[str]:
        """Return the note of it; none if there is nothing."""
        if not self.count:
            return []
        named = self.examples[:_NAMED]
        more = f"; and {self.count - len(named)} more" if self.count > len(named) else ""
        return [f"{self.count} lines were left out, as they are no verdicts: {'; '.join(named)}{more}"]
