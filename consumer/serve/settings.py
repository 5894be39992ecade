"""The settings of the look-up service, ``neardup serve``."""

from dataclasses import dataclass

from consumer.settings import MEBIBYTE, ClaimCheckSettings, JudgingSettings
from neardup.errors import Misconfigured
from neardup.settings.addresses import is_local
from neardup.settings.options import option
from neardup.settings.parsers import integer, number
from neardup.settings.subjects import SERVING


@dataclass(frozen=True)
class ServeSettings(JudgingSettings, ClaimCheckSettings):
    """All settings of the look-up service."""

    host: str = option(
        "--host",
        "address to listen on; any but this machine's own needs --token-file",
        "127.0.0.1",
        subject=SERVING,
        common=True,
        env="NEARDUP_SERVE_HOST",  # what orchestrators set for a service called neardup is NEARDUP_PORT
    )
    port: int = option(
        "--port",
        "port to listen on; 0 picks a free one",
        8108,
        integer(0, 65535),
        subject=SERVING,
        common=True,
        env="NEARDUP_SERVE_PORT",
    )
    token_file: str | None = option(
        "--token-file",
        "file of bearer tokens, one a line, that requests have to name; read again when it changes",
        None,
        subject=SERVING,
        common=True,
    )
    allow_anonymous: bool = option(
        "--allow-anonymous",
        "listen on an address that others reach without asking for tokens",
        default=False,
        subject=SERVING,
    )
    max_in_flight: int = option(
        "--max-in-flight",
        "most images in work at once; requests above it are told to come again",
        128,
        integer(1, 10_000),
        subject=SERVING,
    )
    in_flight_bytes: int = option(
        "--in-flight-bytes",
        "most bytes of images in work or on their way, above which requests are told to come again",
        256 * MEBIBYTE,
        integer(1024, 1024 * 1024 * MEBIBYTE),
        subject=SERVING,
    )
    max_connections: int = option(
        "--max-connections",
        "most connections at once; further ones are closed",
        512,
        integer(1, 60_000),
        subject=SERVING,
    )
    request_timeout_s: float = option(
        "--request-timeout-s",
        "longest time for a request's body to come, and again for its answer",
        30.0,
        number(0.1, 3600),
        subject=SERVING,
    )

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches it."""
        return is_local(self.host)

    def check(self) -> None:
        """Refuse to let anybody in unasked, and limits that contradict each other.

        Raises
        ------
        Misconfigured
            Others reach the address, and nothing says who may; or there is never room for an image that may be sent.
        """
        if not (self.is_local or self.token_file or self.allow_anonymous):
            raise Misconfigured(
                f"--host {self.host} is reached from other machines: name the tokens that they have to show with "
                "--token-file, or let anybody judge and look up with --allow-anonymous"
            )
        if self.token_file and self.allow_anonymous:
            raise Misconfigured("--token-file asks for tokens and --allow-anonymous does not: give only one")
        if self.in_flight_bytes < self.max_image_bytes:
            raise Misconfigured(
                f"--in-flight-bytes {self.in_flight_bytes} is less than one image may have (--max-image-bytes "
                f"{self.max_image_bytes}): whoever sends that would be told to come again for ever"
            )
