"""The schemes ``s3`` and ``gs``: images in object stores, by the file systems of fsspec.

The operator configures the store's address and credentials as these libraries expect (environment, files, the machine's
role). So the address is not checked: many stores are private.
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
from consumer.claim_checks.spans import Span, whole
from neardup.errors import TooManyBytes, UriUnreadable

# S3 codes and HTTP statuses that concern this object alone. All others concern the store or our credentials: an expired
# password must not turn every image into a dead letter.
NOT_THIS_ONE = {
    "403", "404", "AccessDenied", "AllAccessDisabled", "InvalidBucketName", "InvalidObjectState", "KeyTooLongError",
    "NoSuchBucket", "NoSuchKey", "PermanentRedirect",
}  # fmt: skip
_NOTHING_IN_RANGE = {"416", "InvalidRange"}


class ObjectStore:
    """Reads objects of one kind of store, from any number of threads.

    Parameters
    ----------
    file_system
        The fsspec class that reads it, as ``module:class``; imported for the first object.
    max_bytes
        Largest object, in bytes.
    timeout_s
        Seconds for one object, the library's retries included.
    """

    def __init__(self, file_system: str, max_bytes: int, timeout_s: float) -> None:
        self._file_system = file_system
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._files: Any = None

    def read(self, target: Target, span: Span | None = None) -> bytes:
        """Return the bytes of an allowed object, or a part of them.

        Raises
        ------
        UriUnreadable, TooManyBytes
            Why not.
        Outage
            The store is away, cannot serve now, or rejects our credentials.
        """
        name = shown(target.uri)
        if target.path.endswith("/"):
            raise UriUnreadable(f"{name} names a bucket or a folder, not an object")
        try:
            data = self._fetch(target.host + target.path, span or Span(0, self._max_bytes))
        except TimeoutError as exc:
            raise Outage(f"{name}: not read in {self._timeout_s:g} s", slow=True) from exc
        except (FileNotFoundError, IsADirectoryError) as exc:
            raise UriUnreadable(f"{name}: there is no such object") from exc
        except Exception as exc:  # two libraries and all below them
            codes = codes_of(exc)
            if codes & _NOTHING_IN_RANGE:
                return whole(b"", span, name)
            if codes & NOT_THIS_ONE:
                raise UriUnreadable(f"{name}: the store refuses it ({', '.join(sorted(codes))})") from exc
            # The libraries' messages may hold keys and signed URLs.
            raise Outage(f"{name}: {', '.join(sorted(codes)) or type(exc).__name__}") from exc
        if len(data) > self._max_bytes:
            raise TooManyBytes(f"{name} has more than {self._max_bytes} bytes")
        return whole(data, span, name)

    def close(self) -> None:
        """Do nothing: the library owns the connections until the process ends."""

    def _fetch(self, path: str, span: Span) -> bytes:
        import asyncio  # noqa: PLC0415 - a quarter of the time of --help, which names the schemes

        files = self._opened()
        read = files._cat_file(path, start=span.first, end=span.last + 1)  # noqa: SLF001 - fsspec's name for its coroutine
        # Not fsspec's own timeout, which stops waiting but lets the download continue.
        limited = asyncio.wait_for(read, self._timeout_s)
        data: bytes = asyncio.run_coroutine_threadsafe(limited, files.loop).result()
        return data

    def _opened(self) -> Any:  # noqa: ANN401 - a class of one of two libraries
        with self._lock:
            if self._files is None:
                self._files = opened_store(self._file_system)
            return self._files


def opened_store(file_system: str) -> Any:  # noqa: ANN401 - a class of one of two libraries
    """Return a file system of fsspec, named as ``module:class``; its address and credentials are the operator's."""
    module, _, name = file_system.partition(":")
    return getattr(importlib.import_module(module), name)(skip_instance_cache=True)


def codes_of(error: BaseException | None) -> set[str]:
    """Return the codes that the libraries put into an error or its causes."""
    if error is None:
        return set()
    response = getattr(error, "response", None)
    found = {str(response.get("Error", {}).get("Code", ""))} if isinstance(response, dict) else set()
    found.add(str(getattr(error, "code", None) or ""))
    if isinstance(error, OSError) and str(error).startswith("Forbidden:"):  # gcsfs
        found.add("403")
    return (found - {""}) | codes_of(error.__cause__)


def store(name: str, file_system: str) -> Scheme[Target]:
    """Return the scheme of a kind of object store whose URIs are ``name://bucket/key``, read by an fsspec class."""
    uri = re.compile(rf"{name}://(?P<host>[a-z0-9][a-z0-9._-]{{1,220}}[a-z0-9])(?P<path>/[^?#\\\x00-\x1f\x7f]*)?")
    parse = partial(_parse, scheme=name, pattern=uri)

    def opened(prefixes: Sequence[Target], access: Access) -> AllowedImages:
        return AllowedImages(parse, prefixes, ObjectStore(file_system, access.max_bytes, access.fetch.timeout_s))

    def check(uri: str) -> None:
        if parse(uri).path.endswith("/"):
            raise ValueError("it names a bucket or a folder, not an object")

    package = re.split("[.:]", file_system)[0]
    return Scheme(name, f"{name}://bucket/path/", parse, check, opened, package)


def _parse(uri: str, scheme: str, pattern: re.Pattern[str]) -> Target:
    parts = parts_of(uri, pattern, f"{scheme}://bucket/key")
    return Target(scheme, parts["host"], 0, parts["path"], "")


FILE_SYSTEMS = {
    "s3": "s3fs:S3FileSystem",
    # Not fsspec's own class for gs, which first asks for the bucket's layout over gRPC.
    "gs": "gcsfs.core:GCSFileSystem",
}
"""The fsspec class that reads each kind of store."""
S3 = store("s3", FILE_SYSTEMS["s3"])
GS = store("gs", FILE_SYSTEMS["gs"])
