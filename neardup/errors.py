"""Errors in families; the consumer's loop has one handler for each."""

from typing import ClassVar


class NeardupError(Exception):
    """Root of all errors that this project raises on purpose."""


class BadInput(NeardupError):
    """One image or message is bad: it goes to the dead letters with `reason`, and the stream goes on.

    `reason` is a bounded slug (a metric label and a dead-letter header); the message holds the detail.
    """

    reason: ClassVar[str] = "bad-input"


class Unavailable(NeardupError):
    """A server did not answer: nothing was committed, the same call may succeed later."""

    service: ClassVar[str] = "server"


class Misconfigured(NeardupError):
    """Retrying cannot help: one clear line for the operator, and a non-zero exit."""


class EmptyImage(BadInput):
    """The message has no bytes."""

    reason = "empty"


class TooManyBytes(BadInput):
    """The encoded image is larger than the limit."""

    reason = "too-many-bytes"


class TooManyPixels(BadInput):
    """The image's header declares more pixels than the limit; nothing was allocated."""

    reason = "too-many-pixels"


class UnsupportedFormat(BadInput):
    """The image's format is not on the allow-list."""

    reason = "unsupported-format"


class TruncatedImage(BadInput):
    """The image's data ends before its last row."""

    reason = "truncated"


class UnreadableFile(BadInput):
    """The file, folder or clip cannot be read."""

    reason = "unreadable-file"


class UndecodableImage(BadInput):
    """No decoder can read these bytes."""

    reason = "undecodable"


class DecodeTimeout(BadInput):
    """Decoding took longer than it may."""

    reason = "decode-timeout"


class DecodeMemory(BadInput):
    """Decoding asked for more memory than it may have."""

    reason = "decode-memory"


class DecoderCrashed(BadInput):
    """The decoder's process crashed on this image, twice."""

    reason = "decoder-crashed"


class Undescribable(BadInput):
    """The descriptor gives no finite numbers for this image."""

    reason = "undescribable"


class BadDescription(BadInput):
    """A message of the descriptor topic is not what describers write there."""

    reason = "bad-description"


class BadEnvelope(BadInput):
    """A JSON message is not the documented envelope."""

    reason = "bad-envelope"


class BadImageId(BadInput):
    """The image id is not UTF-8, empty, too long or has control characters."""

    reason = "bad-image-id"


class UriNotAllowed(BadInput):
    """The envelope's URI is outside everything that the operator allowed."""

    reason = "uri-not-allowed"


class UriUnreadable(BadInput):
    """The envelope's URI is allowed, and there is nothing to read."""

    reason = "uri-unreadable"


class UriAddressNotAllowed(BadInput):
    """The envelope's URI is allowed, and its host has an address of a private or reserved network."""

    reason = "uri-address-not-allowed"


class UriTooSlow(BadInput):
    """Reading the envelope's URI took longer than it may."""

    reason = "uri-too-slow"


class UriUnavailable(BadInput):
    """The store of the envelope's URI was away for longer than we wait."""

    reason = "uri-unavailable"


class StoreUnavailable(Unavailable):
    """A store of images cannot be reached, or cannot serve right now."""

    service = "store"


class RedisUnavailable(Unavailable):
    """Redis cannot be reached, or cannot serve right now."""

    service = "redis"


class KafkaUnavailable(Unavailable):
    """The Kafka cluster cannot be reached, or cannot serve right now."""

    service = "kafka"


class IndexMissing(Misconfigured):
    """There is no live index of that name."""


class IndexMismatch(Misconfigured):
    """The index was built with another descriptor, dimension or format than this process uses."""


class RelationMismatch(Misconfigured):
    """An image was described for another relation than the index's; describe it again."""


class CorruptIndex(Misconfigured):
    """A stored record is not what this version writes."""


def reasons() -> dict[str, type[BadInput]]:
    """Return every reason slug of the loaded modules with its error; dead letters and metrics use these."""
    found: dict[str, type[BadInput]] = {}
    pending = list(BadInput.__subclasses__())
    while pending:
        error = pending.pop()
        found[error.reason] = error
        pending.extend(error.__subclasses__())
    return dict(sorted(found.items()))
