"""What a file is called in messages, logs and reports: text in one line, from which its name can be had again."""

import os
import re
from collections.abc import Iterable, Iterator
from itertools import chain, count

# Control and line-breaking characters would end a header, a log line or a caption; the surrogates stand for bytes that
# are not UTF-8. A backslash is escaped only where it would look like one of these escapes.
_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\udc80-\udcff]|\\(?=x[0-9a-f]{2})")

_ESCAPE = re.compile(rb"\\x([0-9a-f]{2})")


def text_of(name: str) -> str:
    r"""Return a file name as UTF-8 text in one line: a byte that cannot stand in it becomes ``\xe9``.

    Nothing is lost: replacing each such escape by its byte gives the bytes of the name again.
    """
    return _ODD.sub(_escaped, name)


def name_of(text: str) -> str:
    """Return the file name that `text_of` made a text of."""
    return os.fsdecode(_ESCAPE.sub(lambda escape: bytes.fromhex(escape[1].decode()), text.encode()))


def _escaped(odd: re.Match[str]) -> str:
    return "".join(f"\\x{byte:02x}" for byte in odd[0].encode("utf-8", "surrogateescape"))


class Names:
    """Gives each file its image id, once."""

    def __init__(self) -> None:
        self._paths: set[str] = set()
        self._given: set[str] = set()

    def new_path(self, path: str) -> bool:
        """Return whether the path was not seen before."""
        known = path in self._paths
        self._paths.add(path)
        return not known

    def give(self, root_name: str, relative: str) -> str:
        """Return the file's image id: its path below the root, with the root's name or a number where that is taken."""
        rooted = f"{root_name}/{relative}"
        return self._first_free(chain([relative], _numbered(rooted)))

    def number(self, name: str) -> str:
        """Return the image id of something of this name, with a number where that is taken."""
        return self._first_free(_numbered(name))

    def _first_free(self, candidates: Iterable[str]) -> str:
        image_id = next(name for name in map(text_of, candidates) if name not in self._given)
        self._given.add(image_id)
        return image_id


def _numbered(name: str) -> Iterator[str]:
    yield name
    yield from (f"{name}~{number}" for number in count(2))
