"""What keeps a server from us: there is none to be had, or the one there is does not work."""


class ServiceUnavailable(Exception):
    """No such server is on the machine, and none could be got: do without it.

    Parameters
    ----------
    service
        "Kafka" or "Redis".
    reason
        Why, in one line.
    """

    def __init__(self, service: str, reason: str) -> None:
        super().__init__(f"{service}: {reason}")
        self.service = service
        self.reason = reason


class ServiceFailed(ServiceUnavailable):
    """There is a server, named by the environment or started by us, and it does not answer.

    Not a reason to skip a test or to do without: somebody asked for this one.
    """
