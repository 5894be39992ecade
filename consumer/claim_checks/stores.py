"""The schemes ``s3`` and ``gs``: images in object stores, by the file systems of fsspec.

Where the store is, and by which credentials it is asked, is the operator's own setting, made as these libraries have it
(environment, files, the machine's role). So its address is not judged: many stores are private.
"""

import importlib
import re
import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

from consumer.claim_checks.allowed import AllowedImages, Target, parts_of
from consumer.claim_checks.errors import Outage, shown
from consumer.claim_checks.scheme import Access, Scheme
from neardup.errors import TooManyBytes, UriUnreadable

# Codes of S3 and statuses of HTTP that are about this object. All else is about the store, or who asks: a password that
# has expired must not turn every image into a dead letter at once.
_NOT_THIS_ONE = {
    "403", "404", "AccessDenied", "AllAccessDisabled", "InvalidBucketName", "InvalidObjectState", "KeyTooLongError",
    "NoSuchBucket", "NoSuchKey", "PermanentRedirect",
}  # fmt: skip
_NOTHING_IN_RANGE = {"416", "InvalidRange"}


class ObjectStore:
    """Reads objects of one kind of store, from as many threads as like to.

    Parameters
    ----------
    file_system
        The class of fsspec's that reads it, as ``module:class``; imported with the first object.
    max_bytes
        Largest object that is read.
    timeout_s
        Seconds for one object, repetitions of the library included.
    """

    def __init__(self, file_system: str, max_bytes: int, timeout_s: float) -> None:
        self._file_system = file_system
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._files: Any = None

    def read(self, target: Target) -> bytes:
        """Return the bytes of an allowed object.

        Raises
        ------
        UriUnreadable, TooManyBytes
            Why not.
        Outage
            The store is away, cannot serve now, or does not know us.
        """
        name = shown(target.uri)
        if target.path.endswith("/"):
            raise UriUnreadable(f"{name} names a bucket or a folder, and no object")
        try:
            data = self._fetch(target.host + target.path)
        except TimeoutError as exc:
            raise Outage(f"{name}: not read in {self._timeout_s:g} s", slow=True) from exc
        except (FileNotFoundError, IsADirectoryError) as exc:
            raise UriUnreadable(f"{name}: there is no such object") from exc
        except Exception as exc:  # two libraries, and what lies below them
            codes = _codes(exc)
            if codes & _NOTHING_IN_RANGE:
                return b""
            if codes & _NOT_THIS_ONE:
                raise UriUnreadable(f"{name}: the store refuses it ({', '.join(sorted(codes))})") from exc
            # The libraries' texts may hold keys and signed addresses.
            raise Outage(f"{name}: {', '.join(sorted(codes)) or type(exc).__name__}") from exc
        if len(data) > self._max_bytes:
            raise TooManyBytes(f"{name} has more than {self._max_bytes} bytes")
        return data

    def close(self) -> None:
        """Do nothing: connections are the library's, and end with the process."""

    def _fetch(self, path: str) -> bytes:
        import asyncio  # noqa: PLC0415 - a quarter of the time of --help, which names the schemes

        files = self._opened()
        read = files._cat_file(path, start=0, end=self._max_bytes + 1)  # noqa: SLF001 - fsspec's name for its coroutine
        # Not fsspec's own timeout: that one stops waiting, and lets the download run on.
        limited = asyncio.wait_for(read, self._timeout_s)
        data: bytes = asyncio.run_coroutine_threadsafe(limited, files.loop).result()
        return data

    def _opened(self) -> Any:  # noqa: ANN401 - a class of one of two libraries
        with self._lock:
            if self._files is None:
                module, _, name = self._file_system.partition(":")
                self._files = getattr(importlib.import_module(module), name)(skip_instance_cache=True)
            return self._files


def _codes(error: BaseException | None) -> set[str]:
    """Return what codes the libraries put into an error, or into the one that it comes from."""
    if error is None:
        return set()
    response = getattr(error, "response", None)
    found = {str(response.get("Error", {}).get("Code", ""))} if isinstance(response, dict) else set()
    found.add(str(getattr(error, "code", None) or ""))
    if isinstance(error, OSError) and str(error).startswith("Forbidden:"):  # gcsfs
        found.add("403")
    return (found - {""}) | _codes(error.__cause__)


def store(name: str, file_system: str) -> Scheme[Target]:
    """Return the scheme of a kind of object store whose URIs are ``name://bucket/key``, by a class of fsspec's."""
    uri = re.compile(rf"{name}://(?P<host>[a-z0-9][a-z0-9._-]{{1,220}}[a-z0-9])(?P<path>/[^?#\\\x00-\x1f\x7f]*)?")
    parse = partial(_parse, scheme=name, pattern=uri)

    def opened(prefixes: Sequence[Target], access: Access) -> AllowedImages:
        return AllowedImages(parse, prefixes, ObjectStore(file_system, access.max_bytes, access.fetch.timeout_s))

    package = re.split("[.:]", file_system)[0]
    return Scheme(name, f"{name}://bucket/path/", parse, opened, package)


def _parse(uri: str, scheme: str, pattern: re.Pattern[str]) -> Target:
    parts = parts_of(uri, pattern, f"{scheme}://bucket/key")
    return Target(scheme, parts["host"], 0, parts["path"], "")


S3 = store("s3", "s3fs:S3FileSystem")
# Not what fsspec takes for gs: that one asks for the bucket's layout by gRPC first.
GS = store("gs", "gcsfs.core:GCSFileSystem")
