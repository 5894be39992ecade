"""What a describer knows of an index: how its images are described, and no member."""

from typing import Any

from neardup.descriptors.pca import Pca
from neardup.index.base import IndexMeta
from neardup.index.live import live_generation, read_live
from neardup.index.stored.connection import translated_errors
from neardup.index.stored.keys import IndexKeys


class LiveHead:
    """The head of a live generation, followed.

    Parameters
    ----------
    client
        From `neardup.index.stored.connection.connect`.
    name
        Which index.

    Raises
    ------
    IndexMissing, IndexMismatch, CorruptIndex, RedisUnavailable
        When it is read.
    """

    def __init__(self, client: Any, name: str) -> None:  # noqa: ANN401 - a client of Redis, or of a cluster
        self._client = client
        self._name = name
        self._live = read_live(client, name)

    @property
    def meta(self) -> IndexMeta:
        """What the generation is made for that was live when last looked."""
        return self._live.meta

    def pca(self) -> Pca | None:
        """Return the principal components that make its descriptors short; None without any."""
        return self._live.pca

    def follow(self) -> None:
        """Look which generation is live, and read its head if it is another one.

        A number alone does not say so: where Redis was emptied, another index may have the same.

        Raises
        ------
        IndexMismatch
            It has another descriptor than the one that was first read.
        IndexMissing, CorruptIndex, RedisUnavailable
            It cannot be read.
        """
        if live_generation(self._client, self._name) == self.meta.generation and self._is_as_stored():
            return
        live = read_live(self._client, self._name)
        live.meta.check_descriptor(self.meta.fingerprint)
        self._live = live

    def _is_as_stored(self) -> bool:
        with translated_errors():
            stored = self._client.get(IndexKeys(self._name).metadata(self.meta.generation))
        return stored is not None and IndexMeta.from_json(stored) == self.meta
