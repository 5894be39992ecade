"""How much may be in work at once: what is above it is told to come again, and costs next to nothing."""

from consumer.metrics import Metrics
from consumer.serve.problems import come_again


class Admission:
    """Counts what is in work. For one thread, that of the event loop.

    Parameters
    ----------
    most
        Images in work at once.
    most_bytes
        Bytes of images in work or on their way.
    metrics
        Where it is shown how many there are.
    """

    def __init__(self, most: int, most_bytes: int, metrics: Metrics) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._metrics = metrics
        self._bytes = 0
        self.in_work = 0

    def require_room(self) -> None:
        """Refuse a request that there is no room for; before its body is read.

        Raises
        ------
        Problem
            With 503.
        """
        if self.in_work >= self._most:
            raise come_again(f"{self._most} images are in work already: send it again later")

    def take(self, images: int, size: int) -> None:
        """Count more images in work, and more bytes in hand.

        Raises
        ------
        Problem
            There is no room; nothing was counted.
        """
        if images:
            self.require_room()
        if size and self._bytes + size > self._most_bytes:
            raise come_again(f"{self._bytes} bytes of images are in work already: send it again later")
        self._count(images, size)

    def _count(self, images: int, size: int) -> None:
        self.in_work += images
        self._bytes += size
        self._metrics.http_in_flight.set(self.in_work)

    def give_back(self, images: int, size: int) -> None:
        """Count fewer again."""
        self._count(-images, -size)


class Ticket:
    """What one request has been let in with, until it is closed."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self._images = self._bytes = 0
        admission.require_room()

    def enter(self) -> None:
        """Count its image as in work; raises as `Admission.take`."""
        self._admission.take(1, 0)
        self._images = 1

    def carry(self, size: int) -> None:
        """Count bytes that have come; raises as `Admission.take`."""
        self._admission.take(0, size)
        self._bytes += size

    def close(self) -> None:
        """Give back all of it."""
        self._admission.give_back(self._images, self._bytes)
        self._images = self._bytes = 0
