"""Names of headers as no Python client writes them, and others may."""


class NotUtf8(str):
    """The name of a header that is not UTF-8 on the wire."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        del encoding, errors
        return b"\xff\xfe"
