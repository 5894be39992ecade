"""A prefix of an object store as a listing: its keys in the order of their names, a page at a time."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from consumer.backfill.entries import Entry, Position, Refused, Step, short_id, uri_of
from consumer.backfill.naming import Wanted
from consumer.claim_checks.errors import shown
from consumer.claim_checks.stores import FILE_SYSTEMS, NOT_THIS_ONE, codes_of, opened_store
from consumer.feeding.outages import waited_out
from neardup.errors import Misconfigured, StoreUnavailable

_PAGE_KEYS = 1000
"""The most that both kinds of store give at a time."""
_NO_LOGIN = ("NoCredentialsError", "PartialCredentialsError")
"""Of botocore; gcsfs goes on without."""


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Say what an error of a store's library means for the listing of this name.

    Raises
    ------
    Misconfigured
        There is no such bucket or object, we may not read it, or nobody said as whom.
    StoreUnavailable
        The store is away, or cannot serve now.
    """
    try:
        yield
    except FileNotFoundError as exc:
        raise Misconfigured(f"{name}: there is no such bucket or object") from exc
    except Exception as exc:  # two libraries and all below them
        codes = codes_of(exc)
        told = ", ".join(sorted(codes)) or type(exc).__name__  # their texts may hold keys
        if told in _NO_LOGIN:
            raise Misconfigured(
                f"{name}: no credentials for the store: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or what else "
                "its library looks for (AWS_PROFILE, the machine's role)"
            ) from exc
        if codes & NOT_THIS_ONE or isinstance(exc, PermissionError):
            raise Misconfigured(f"{name}: the store refuses to list it or to read it ({told})") from exc
        raise StoreUnavailable(f"{name}: {told}") from exc


class Keys(Protocol):
    """Lists a bucket."""

    def page(self, prefix: str, after: str) -> tuple[list[str], bool]:
        """Return the next keys behind one in order, and whether more may follow; errors of the library."""


class S3Keys:
    """Lists a bucket of S3, each page by the last key before it.

    So no token of the store can expire, and a page of a bucket that changes begins where the one before ended.

    Parameters
    ----------
    files
        s3fs's file system.
    bucket
        Its name.
    """

    def __init__(self, files: Any, bucket: str) -> None:  # noqa: ANN401 - s3fs has no types
        self._files = files
        self._bucket = bucket

    def page(self, prefix: str, after: str) -> tuple[list[str], bool]:
        """Return the next keys; see `Keys.page`."""
        asked = {"Bucket": self._bucket, "Prefix": prefix, "MaxKeys": _PAGE_KEYS}
        asked |= {"StartAfter": after} if after else {}
        while True:
            found = self._files.call_s3("list_objects_v2", **asked)
            keys, more = [each["Key"] for each in found.get("Contents", ())], bool(found.get("IsTruncated"))
            if keys or not more:
                return keys, more
            # A page may be empty: behind the same key it would come again and again.
            asked["ContinuationToken"] = found["NextContinuationToken"]


class GsKeys:
    """Lists a bucket of Google's, as `S3Keys` does.

    Parameters
    ----------
    files
        gcsfs's file system.
    bucket
        Its name.
    """

    def __init__(self, files: Any, bucket: str) -> None:  # noqa: ANN401 - gcsfs has no types
        self._files = files
        self._bucket = bucket

    def page(self, prefix: str, after: str) -> tuple[list[str], bool]:
        """Return the next keys; see `Keys.page`."""
        from fsspec.asyn import sync  # noqa: PLC0415 - an extra

        list_page = self._files._call_list_objects  # noqa: SLF001 - by its public names gcsfs lists everything at once
        asked = {"prefix": prefix, "startOffset": after or None, "maxResults": _PAGE_KEYS, "pageToken": None}
        while True:
            found = sync(self._files.loop, list_page, self._bucket, **asked)
            asked["pageToken"] = found.get("nextPageToken")
            # startOffset is the first name that may come, which here has come already; and a page may be empty.
            keys = [each["name"] for each in found.get("items", ()) if each["name"] > after]
            if keys or not asked["pageToken"]:
                return keys, bool(asked["pageToken"])


KEYS: dict[str, Callable[[Any, str], Keys]] = {"s3": S3Keys, "gs": GsKeys}


class Prefix:
    """The images whose keys lie below a prefix, segment by segment.

    Parameters
    ----------
    scheme, bucket, prefix
        Where; the prefix is empty for the whole bucket.
    wanted
        Which keys count.
    stop
        Ends the waiting for a store that is away.
    tell
        Tells the user that we wait, in one line.
    """

    def __init__(
        self,
        scheme: str,
        bucket: str,
        prefix: str,
        wanted: Wanted,
        *,
        stop: threading.Event,
        tell: Callable[[str], object],
    ) -> None:
        self._prefix = f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""
        self.name = f"{scheme}://{bucket}/{self._prefix}"
        self._root = f"{scheme}://{bucket}/"
        self._scheme = scheme
        self._bucket = bucket
        self._wanted = wanted
        self._stop = stop
        self._tell = tell

    def fingerprint(self) -> str:
        """Return nothing: objects may come and go."""
        return ""

    def steps(self, after: Position | None) -> Iterator[Step]:
        """Iterate over the objects behind a key; those that come meanwhile are met if their turn is still to come."""
        for key in self._keys(after or ""):
            if key.endswith("/"):
                self._wanted.passed_over["folders"] += 1
            elif self._wanted.takes(key.removeprefix(self._prefix)):
                yield self._step(key)

    def _step(self, key: str) -> Step:
        uri = self._root + key
        why = "it has a fragment"  # which could be taken for a part of another object
        if "#" not in key:
            try:
                return Entry(key, uri_of(uri, ""), short_id(uri))
            except ValueError as error:
                why = str(error)
        return Refused(key, self.name, f"{key[:200]!a}: {why}")

    def _keys(self, after: str) -> Iterator[str]:
        with explained(self.name):
            keys = KEYS[self._scheme](opened_store(FILE_SYSTEMS[self._scheme]), self._bucket)
        page, more = self._page(keys, after)
        while True:
            for key in page:
                if self._stop.is_set():
                    return
                if key <= after:
                    raise Misconfigured(
                        f"{self.name}: the store does not list its keys by name ({shown(key)} after {shown(after)}), "
                        "so where to go on cannot be known; list it into a file, and name that"
                    )
                after = key
                yield key
            if not more:
                return
            page, more = waited_out(lambda: self._page(keys, after), self._stop, self._tell)  # noqa: B023 - at once

    def _page(self, keys: Keys, after: str) -> tuple[list[str], bool]:
        with explained(self.name):
            return keys.page(self._prefix, after)
