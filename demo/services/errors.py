"""Why there is no server: none is available, or the one there does not work."""


class ServiceUnavailable(Exception):
    """The machine has no such server, and none could be fetched: do without it.

    Parameters
    ----------
    service
        "Kafka", "Redis" or "Chromium".
    reason
        Why, in one line.
    """

    def __init__(self, service: str, reason: str) -> None:
        super().__init__(f"{service}: {reason}")
        self.service = service
        self.reason = reason


class ServiceFailed(ServiceUnavailable):
    """A server that the environment names, or that we started, does not answer.

    Not a reason to skip a test or to do without: somebody asked for this one.
    """
