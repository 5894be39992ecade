"""Members that a bootstrap would drop from the live index: counted, and refused unless they may go."""

from dataclasses import replace
from typing import TYPE_CHECKING, cast

import redis

from bootstrap.generation.assembly import Assembly
from bootstrap.generation.inheritance import Before, changes
from bootstrap.settings import Settings
from neardup.errors import Misconfigured
from neardup.index.carry import Predecessor
from neardup.index.stored.generations import count_members
from neardup.index.stored.keys import IndexKeys
from neardup.relation.images import images_of
from neardup.relation.rule import Relation
from neardup.search.duplicates import DuplicateFinder

if TYPE_CHECKING:
    from neardup.index.base import IndexMeta


class Dropping:
    """Counts what the next generation drops of the live one.

    Parameters
    ----------
    settings
        Of the bootstrap. What ``--allow-dropping`` or ``--fresh`` allows is not refused, and neither is a dry run.
    client
        From `neardup.index.stored.connection.connect`.
    before
        What is live.

    Attributes
    ----------
    members
        Of the live generation; 0 until they were counted.
    dropped
        Those of them that the next one has not.
    why
        In words; empty if none is dropped.
    """

    def __init__(self, settings: Settings, client: redis.Redis, before: Before) -> None:
        self._settings = settings
        self._client = client
        self._before = before
        self.members = 0
        self.dropped = 0
        self.why = ""

    def check_obstacle(self) -> None:
        """Refuse a generation that can carry nothing over.

        Raises
        ------
        Misconfigured
            With the number of members that would be dropped.
        """
        if self._before.obstacle and self._before.generation:
            keys = IndexKeys(self._settings.index)
            count = count_members(self._client, keys, self._before.generation)
            self._note(count, count, self._before.obstacle)

    def check_relation(self, relation: Relation) -> None:
        """Refuse, before the seeds are described, a relation by which members are alike that were not.

        Raises
        ------
        Misconfigured
            As above.
        """
        meta = self._before.meta
        if meta is None or self._before.obstacle or not relation.is_wider_than(meta.relation):
            return
        members = Predecessor(self._client, meta.name, meta).news().added
        if members:
            first = sorted(members, key=lambda member: member.captured_at_ms)
            images = images_of(first, relation.parts)
            finder = DuplicateFinder(images, relation, settled=len(first), judge_settled=True)
            self._note(len(first), len(first) - int(finder.found.is_unique.sum()), self._alike(relation))

    def check_assembly(self, assembly: Assembly) -> None:
        """Refuse an assembly that leaves members of the live generation out, as often as it has grown.

        Raises
        ------
        Misconfigured
            As above.
        """
        if self._before.meta is not None and not self._before.obstacle:
            self._note(assembly.kept + assembly.left_out, assembly.left_out, self._alike(assembly.relation))

    def _alike(self, relation: Relation) -> str:
        meta = cast("IndexMeta", self._before.meta)
        by_it = replace(meta, radius=relation.radius, local_change=relation.local_change, agreement=relation.agreement)
        changed = changes(meta, by_it)
        return f"by the new settings ({', '.join(changed)}) they duplicate others"

    def _note(self, members: int, dropped: int, why: str) -> None:
        self.members, self.dropped, self.why = members, dropped, why if dropped else ""
        if self.refusal and not self._settings.dry_run:
            raise Misconfigured(self.refusal)

    @property
    def refusal(self) -> str:
        """Why the bootstrap is refused; empty if it is not."""
        if not self.dropped or self._settings.allow_dropping or self._settings.fresh:
            return ""
        return (
            f"index {self._settings.index!r}, generation {self._before.generation}: {self.dropped} of its "
            f"{self.members} members would be dropped: {self.why}. Leave the settings out to inherit those of the live "
            "index, name another --index, or allow it by --allow-dropping; --dry-run tells more"
        )
