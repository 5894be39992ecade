"""An index in the memory of one process: images come one after another, and each is unique or a duplicate."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Self, overload

from neardup.describe_batch import Compared
from neardup.descriptors import DEFAULT
from neardup.errors import CorruptIndex, IndexMismatch, Misconfigured
from neardup.index.base import IndexMeta
from neardup.library.answers import Answer, checked_name, path_of
from neardup.library.describing import compared_or_raise
from neardup.library.images import ImageLike, is_one_image, one_by_one
from neardup.library.index_file import read_index, write_index
from neardup.library.members import Alike, Members
from neardup.library.options import descriptor_of, relation_of
from neardup.relation.describing import Describer
from neardup.relation.edit import edit_of
from neardup.relation.images import images_of, side_by_side
from neardup.relation.kept import parts_of
from neardup.relation.symmetry import switches_of
from neardup.types import Member, Verdict

_UNIQUE = Answer(Verdict.UNIQUE)


class Index:
    """An index in memory; its verdicts are the same as comparing with every member.

    Only unique images become members, so every duplicate is one of a member, and there are no chains. It is for one
    thread at a time.

    Parameters
    ----------
    descriptor
        ``dct``, ``copynet`` and others.
    radius
        Largest distance of a duplicate, 0 to 2, inclusive; None takes the descriptor's own.
    local_change
        Largest difference in one place, in grey levels, that a duplicate may have; None compares only the whole.
    agreement
        Least share of what both show that is the same in a duplicate, 0 to 1, by a second look; None takes none.
    match_flips, match_rotations
        Whether a mirrored image, and one turned by 90, 180 or 270 degrees, is a duplicate, too.
    match_parts
        Whether an image that shows an earlier one inside a larger picture is a duplicate, too; needs `agreement`.

    Raises
    ------
    Misconfigured
        An option is out of its range or needs another, or there is no such descriptor.

    Examples
    --------
    >>> import neardup
    >>> index = neardup.Index(match_flips=True)
    >>> index.add("photos/cat.jpg").verdict == "unique"
    True
    >>> index.add("photos/cat_small.jpg").duplicate_of
    'photos/cat.jpg'
    >>> len(index)
    1
    """

    def __init__(
        self,
        *,
        descriptor: str = DEFAULT,
        radius: float | None = None,
        local_change: float | None = None,
        agreement: float | None = None,
        match_flips: bool = False,
        match_rotations: bool = False,
        match_parts: bool = False,
    ) -> None:
        self._descriptor = descriptor_of(descriptor)
        self._relation = relation_of(
            self._descriptor,
            radius=radius,
            local_change=local_change,
            agreement=agreement,
            match_flips=match_flips,
            match_rotations=match_rotations,
            match_parts=match_parts,
        )
        self._describer = Describer(self._descriptor, self._relation)
        self._members = Members(self._descriptor.dimension, self._relation)
        self._names: list[str] = []

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self._members)

    def __repr__(self) -> str:
        return f"Index({len(self)} members, {self._descriptor.spec}, {self._relation})"

    @property
    def radius(self) -> float:
        """Largest distance of a duplicate, inclusive."""
        return self._relation.radius

    @property
    def names(self) -> tuple[str, ...]:
        """The members' names, in the order in which they came."""
        return tuple(self._names)

    @overload
    def add(  # type: ignore[overload-overlap]  # a text is a path, never an iterable of texts
        self, images: ImageLike, names: str | None = ..., *, workers: int | None = ...
    ) -> Answer: ...
    @overload
    def add(
        self, images: Iterable[ImageLike], names: Sequence[str] | None = ..., *, workers: int | None = ...
    ) -> list[Answer]: ...
    def add(
        self,
        images: ImageLike | Iterable[ImageLike],
        names: str | Sequence[str] | None = None,
        *,
        workers: int | None = None,
    ) -> Answer | list[Answer]:
        """Compare one image or many with the members, and make those that are unique members.

        Images of one call are compared with one another, too, in their order. All are described first: where one of
        them cannot be, none is added.

        Parameters
        ----------
        images
            One image or an iterable of them: paths, encoded bytes, PIL images, arrays. An array is always one image.
        names
            What the images are called in answers, one for each; they need not differ. None calls an image by its path,
            and one without a path by the number of members before it.
        workers
            Processes that decode; None takes one for each processor, and none for up to 8 images.

        Returns
        -------
        Answer or list of Answer
            One for one image; a list for many.

        Raises
        ------
        BadInput
            An image cannot be decoded or described, or a name is not UTF-8 or longer than 65,535 bytes.
        OSError
            A file cannot be read.
        Misconfigured
            There are not as many names as images.

        Examples
        --------
        >>> import neardup
        >>> index = neardup.Index()
        >>> index.add("photos/cat.jpg", "the cat").verdict == "unique"
        True
        >>> [str(each.verdict) for each in index.add(["photos/cat_small.jpg", "photos/dog.jpg"])]
        ['duplicate', 'unique']
        >>> index.names
        ('the cat', 'photos/dog.jpg')
        """
        one = is_one_image(images)
        if names is not None and isinstance(names, str) is not one:
            raise Misconfigured("give one image one name (a str), and many images a list of names")
        given = [names] if isinstance(names, str) else names
        answers = self._add_all(list(one_by_one(images)), given, workers)
        return answers[0] if one else answers

    def _add_all(self, images: Sequence[ImageLike], names: Sequence[str] | None, workers: int | None) -> list[Answer]:
        if names is not None and len(names) != len(images):
            raise Misconfigured(f"{len(images)} images but {len(names)} names: give one name for each image")
        given = [path_of(image) for image in images] if names is None else list(map(checked_name, names))
        described = list(compared_or_raise(images, self._describer, workers))
        return [self._add(compared, name) for compared, name in zip(described, given, strict=True)]

    def _add(self, compared: Compared, name: str | None) -> Answer:
        answer = self._answer(compared)
        if answer.verdict is Verdict.UNIQUE:
            self._members.append(side_by_side([compared[:1]], self._relation.parts))
            self._names.append(str(len(self._names)) if name is None else name)
        return answer

    @overload
    def query(  # type: ignore[overload-overlap]  # as above
        self, images: ImageLike, *, workers: int | None = ...
    ) -> Answer: ...
    @overload
    def query(self, images: Iterable[ImageLike], *, workers: int | None = ...) -> list[Answer]: ...
    def query(self, images: ImageLike | Iterable[ImageLike], *, workers: int | None = None) -> Answer | list[Answer]:
        """Compare one image or many with the members, and leave the index as it is.

        Parameters
        ----------
        images, workers
            As in `add`.

        Returns
        -------
        Answer or list of Answer
            One for one image; a list for many.

        Raises
        ------
        BadInput
            An image cannot be decoded or described; the message says which.
        OSError
            A file cannot be read.

        Examples
        --------
        >>> import neardup
        >>> index = neardup.Index()
        >>> index.query("photos/cat.jpg").verdict == "unique"
        True
        >>> len(index)
        0
        """
        answers = [self._answer(compared) for compared in compared_or_raise(images, self._describer, workers)]
        return answers[0] if is_one_image(images) else answers

    def _answer(self, compared: Compared) -> Answer:
        alike = self._members.alike(compared)
        return _UNIQUE if alike is None else _duplicate(alike, self._names[alike.row])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the index into a file, which `load` reads; a file that is there is replaced once all is written.

        Parameters
        ----------
        path
            The file. What stood there stays if anything fails.

        Raises
        ------
        OSError
            It cannot be written.

        Examples
        --------
        >>> import neardup
        >>> index = neardup.Index()
        >>> _ = index.add("photos/cat.jpg")
        >>> index.save("photos.index")
        >>> neardup.Index.load("photos.index").names
        ('photos/cat.jpg',)
        """
        descriptor, relation, images = self._descriptor, self._relation, self._members.images
        meta = IndexMeta(
            name="",
            generation=0,
            descriptor=descriptor.spec,
            fingerprint=descriptor.fingerprint,
            dimension=descriptor.dimension,
            radius=relation.radius,
            local_change=relation.local_change,
            agreement=relation.agreement,
            **switches_of(relation),
        )
        kept = [None] * len(self) if images.kept is None else images.kept
        members = [
            Member(str(number), name, row, kept=each)
            for number, (name, row, each) in enumerate(zip(self._names, images.descriptors, kept, strict=True))
        ]
        write_index(Path(path), meta, members)

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, descriptor: str | None = None) -> Self:
        """Read an index that `save` wrote: the same members, with the same options.

        Parameters
        ----------
        path
            The file.
        descriptor
            Where the descriptor is now, if it is a file that was moved; None takes the one that the index names.

        Raises
        ------
        CorruptIndex
            The file is not an index, or is damaged.
        IndexMismatch
            It was written by another version, or the descriptor is another by now.
        OSError
            It cannot be read.

        Examples
        --------
        >>> import neardup
        >>> neardup.Index.load("photos/notes.txt")
        Traceback (most recent call last):
            ...
        neardup.errors.CorruptIndex: photos/notes.txt is not an index of neardup
        """
        meta, members = read_index(Path(path))
        index = cls(
            descriptor=descriptor or meta.descriptor,
            radius=meta.radius,
            local_change=meta.local_change,
            agreement=meta.agreement,
            **switches_of(meta),
        )
        index._fill(Path(path), meta, members)
        return index

    def _fill(self, path: Path, meta: IndexMeta, members: Sequence[Member]) -> None:
        if (self._descriptor.fingerprint, self._descriptor.dimension) != (meta.fingerprint, meta.dimension):
            raise IndexMismatch(
                f"{path}: its members were described by {meta.fingerprint}, but this version uses "
                f"{self._descriptor.fingerprint}: use the same descriptor and version, or build the index again"
            )
        if any(parts_of(member.kept) != self._relation.parts for member in members):
            raise CorruptIndex(f"{path}: not every member has {self._relation.parts} kept, as its options say")
        if members:
            self._members.append(images_of(members, self._relation.parts))
            self._names += [member.image_id for member in members]


def _duplicate(alike: Alike, name: str) -> Answer:
    look = alike.look
    return Answer(
        Verdict.DUPLICATE,
        name,
        alike.l2_distance,
        alike.symmetry,
        alike.local_change,
        None if look is None else look.agreement,
        None if look is None else edit_of(look, alike.symmetry),
    )
