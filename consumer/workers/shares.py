"""How many workers there are, and what each gets of what there is."""

from dataclasses import replace

from consumer.roles.foreign import DECIDE
from consumer.settings import ServiceSettings
from neardup.cores import cores

CORES_A_WORKER = 6
"""So many decode and describe about as fast as one worker decides and delivers what they make (docs/operations.md)."""


def shares_of(settings: ServiceSettings) -> list[ServiceSettings]:
    """Return the settings of each worker; those that were given where there is to be only one.

    Cores and `cache_bytes` are divided among them, as is a name in the group, by a number at its end.
    """
    ours = cores()
    each = 1 if settings.role == DECIDE else CORES_A_WORKER  # who decides alone has one thread that is ever busy
    count = max(1, ours // each) if settings.workers is None else settings.workers
    if count == 1:
        return [settings]
    return [
        replace(
            settings,
            decode_workers=settings.decode_workers or max(1, (ours + number) // count),
            cache_bytes=settings.cache_bytes // count,
            group_instance_id=settings.group_instance_id and f"{settings.group_instance_id}-{number + 1}",
        )
        for number in range(count)
    ]
