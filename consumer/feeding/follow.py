"""``neardup feed FOLDER --follow``: publishes what is in a folder and what comes into it, each file once."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from consumer.ending import FEED, stopped_by_signals
from consumer.feeding.feeder import Feeder
from consumer.feeding.outages import Stopped
from consumer.feeding.outgoing import say
from consumer.feeding.pace import Pace
from consumer.feeding.remembering import Batches, Remembering
from consumer.feeding.settings import FeedSettings
from consumer.feeding.state import FileState, Signature, State, digest_of, usual_path
from consumer.feeding.watching import Arrived, Watcher, signature_of, tell_of_changes
from consumer.settings import EXACTLY_ONCE
from consumer.transport.numbered import NumberedBatches, UnnumberedBatches
from neardup.cli.progress import shown_progress
from neardup.errors import Misconfigured
from neardup.sources.files import file_images
from neardup.sources.images import SourceImage
from neardup.sources.names import text_of
from neardup.wording import counted

_JOURNALS = ("", "-journal", "-wal", "-shm")


def follow(settings: FeedSettings) -> Feeder:
    """Publish until a signal; return who did.

    Raises
    ------
    Misconfigured
        The path is no folder, or the state is not its.
    KafkaUnavailable
        At the start; later it is waited for.
    """
    folder = _folder(settings)
    stop = threading.Event()
    state = State(_state_path(settings, folder), folder, settings.topic)
    exactly = settings.delivery == EXACTLY_ONCE
    batches: Batches = (
        NumberedBatches(settings, state.name) if exactly else UnnumberedBatches(settings, [settings.topic])
    )
    telling = threading.Thread(target=lambda: None)
    try:
        with stopped_by_signals(stop, FEED), shown_progress("feed") as progress:
            batches.connect()
            follower = Follower(settings, folder, state, batches, stop)
            say(f"following {folder}; {state.files_count()} files were published before, says {state.path}")
            telling = threading.Thread(
                target=tell_of_changes, args=(folder, follower.watcher.told, stop, say), name="changes", daemon=True
            )
            telling.start()
            follower.run(progress)
    finally:
        stop.set()
        batches.close()
        state.close()
        if telling.ident is not None:
            telling.join()
    return follower.feeder


def _folder(settings: FeedSettings) -> str:
    [path] = settings.paths
    folder = os.path.realpath(path)
    if not Path(folder).is_dir():
        raise Misconfigured(f"--follow: {path!r} is no folder")
    return folder


def _state_path(settings: FeedSettings, folder: str) -> Path:
    if settings.state is not None:
        return Path(os.path.realpath(settings.state))
    return usual_path("feed", os.fsencode(folder), settings.topic.encode())


class Follower:
    """Publishes the files of a folder as they become complete.

    Parameters
    ----------
    settings, folder
        Of the feed; the folder as a real path.
    state
        What was published before.
    batches
        Where to publish, connected.
    stop
        Ends it.
    """

    def __init__(
        self, settings: FeedSettings, folder: str, state: State, batches: Batches, stop: threading.Event
    ) -> None:
        self._settings = settings
        self._folder = Path(folder)
        self._state = state
        self._stop = stop
        self._left_out: dict[str, Signature] = {}
        self._remembering = Remembering(state, batches, stop)
        self._remembering.resume()
        self.feeder = Feeder(settings, batches, self._remembering.deliver, Pace(settings, sleep=stop.wait))
        own = frozenset(f"{os.path.realpath(state.path)}{suffix}" for suffix in _JOURNALS)
        self.watcher = Watcher(
            folder, own, self._is_known, settle_s=settings.settle_s, look_every_s=settings.look_every_s
        )
        state.forget_gone(folder)

    def run(self, progress: Callable[[int], object] = lambda _: None) -> None:
        """Publish what comes, until it is stopped."""
        troubles: dict[str, str] = {}
        passed_over: dict[str, int] = {}
        while not self._stop.is_set():
            arrived = self.watcher.arrived()
            if self.watcher.passed_over.keys() - passed_over.keys():
                passed_over = dict(self.watcher.passed_over)
                say(f"passed over: {', '.join(f'{name} ({count})' for name, count in sorted(passed_over.items()))}")
            for path in sorted(self.watcher.troubles.keys() - troubles.keys()):
                say(f"{text_of(path)}: {self.watcher.troubles[path]}")
            troubles = self.watcher.troubles
            if arrived:
                self._publish(arrived, progress)
            else:
                self.watcher.wait(self._stop)

    def _publish(self, arrived: Iterable[Arrived], progress: Callable[[int], object]) -> None:
        handled: list[FileState] = []
        published = self.feeder.published
        try:
            self.feeder.publish(self._images(arrived, handled), progress)
        except Stopped:
            return
        if self._stop.is_set():
            handled = handled[:-1]  # its images may not all have been read
        self._remembering.forget_images()
        self._note_whole(handled)
        if self.feeder.published > published:
            say(f"{counted(self.feeder.published - published, 'image')} published to {self._settings.topic}")

    def _note_whole(self, handled: Iterable[FileState]) -> None:
        for file in handled:
            known = self._state.known(file.path)
            if known is not None and known.digest == file.digest and known.done:
                self._state.remember([replace(known, signature=file.signature, whole=True)])
            else:
                self._left_out[file.path] = file.signature

    def _images(self, arrived: Iterable[Arrived], handled: list[FileState]) -> Iterator[SourceImage]:
        for each in arrived:
            if self._stop.is_set():
                return
            file = self._new(each)
            if file is not None:
                handled.append(file)
                yield from self._remembering.images(file, self._images_of(each, file))

    def _images_of(self, arrived: Arrived, file: FileState) -> Iterator[SourceImage]:
        name = text_of(arrived.path) if file.version == 1 else f"{text_of(arrived.path)}~{file.version}"
        yield from file_images(arrived.real, name, self._settings.fps)

    def _is_known(self, path: str, signature: Signature) -> bool:
        if self._left_out.get(path) == signature:
            return True
        known = self._state.known(path)
        return known is not None and known.whole and known.signature == signature

    def _new(self, arrived: Arrived) -> FileState | None:
        """Return what is known of a file that has to be published; None if it was, under this name or another."""
        try:
            digest = digest_of(arrived.real)
        except OSError as exc:
            say(f"left out {text_of(arrived.path)}: {exc}")
            self.feeder.leave_out()
            self._left_out[arrived.path] = arrived.signature
            return None
        known = self._state.known(arrived.path)
        if known is not None and known.digest == digest:
            file = replace(known, signature=arrived.signature)
            if known.whole:
                self._state.remember([file])
            return None if known.whole else file
        if known is None and self._was_renamed(arrived, digest):
            return None
        version = 1 if known is None else known.version + 1
        return FileState(arrived.path, arrived.signature, digest, version=version)

    def _was_renamed(self, arrived: Arrived, digest: bytes) -> bool:
        """Return whether a file was published under an earlier name; then it is known by its new one."""
        for alike in self._state.alike(digest):
            before = self._folder / alike.path
            renamed = replace(alike, path=arrived.path, signature=arrived.signature)
            if not before.exists():
                self._state.remember([renamed], alike.path)
                return True
            # Cameras move latest.jpg away and write another one: what they moved is the same file as it was.
            if alike.signature == arrived.signature and signature_of(str(before)) != alike.signature:
                self._state.remember([renamed])
                return True
        return False
