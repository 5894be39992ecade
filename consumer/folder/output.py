"""What folder mode writes as it judges: verdicts, dead letters, and the journal for a run that is interrupted."""

import json
from contextlib import ExitStack
from types import TracebackType
from typing import Self, TextIO

from consumer.folder.messages import REFERENCE
from consumer.folder.resume import Journal
from consumer.handler import OutputTopics
from consumer.messages import OutgoingMessage
from neardup.errors import Misconfigured
from neardup.tidy.groups import JudgedFile, Picture, picture_of
from neardup.tidy.lines import Document, text_of
from neardup.tidy.places import Places, partial
from neardup.types import Verdict
from neardup.wire import MEMBER_HEADER
from neardup.wording import counted

TOPICS = OutputTopics("verdicts", "dead letters")
"""Which of the two files a line goes to."""


class Output:
    """The two output files, for verdicts and dead letters; renamed when complete.

    Messages to other topics are not written: the verdicts hold the same. Nor are verdicts on images that others are
    only compared with.

    Parameters
    ----------
    places
        Where to write.
    journal
        Gets each verdict, too; what it has from an earlier run is written first.
    file_header
        Name of the header that tells of a verdict's file.

    Attributes
    ----------
    pictures
        All that was judged.
    reference
        How many of these others were only compared with.
    letters
        How many could not be judged.
    """

    def __init__(self, places: Places, journal: Journal, file_header: str) -> None:
        self.pictures: list[Picture] = []
        self.unique = self.duplicates = self.letters = self.reference = 0
        self._paths = (places.verdicts, places.dead)
        self._journal = journal
        self._file_header = file_header
        self._files: list[TextIO] = []

    def __enter__(self) -> Self:
        try:
            self._files = [partial(path).open("w", encoding="utf-8") for path in self._paths]
        except OSError as exc:
            raise Misconfigured(f"--output: cannot write {exc.filename}: {exc.strerror}") from exc
        try:
            for entry in self._journal.entries:
                self._take(entry.file, entry.verdict, text_of(entry.verdict))
        except OSError as exc:
            raise self._cannot_write(exc) from exc
        return self

    def write(self, message: OutgoingMessage) -> None:
        """Write a line for a verdict or a dead letter.

        Raises
        ------
        Misconfigured
            It cannot be written; what was judged before stays.
        """
        try:
            if message.topic == TOPICS.dead_letters:
                self._write_letter(message)
            elif message.topic == TOPICS.verdicts:
                self._write_verdict(message)
        except OSError as exc:
            raise self._cannot_write(exc) from exc

    def _cannot_write(self, error: OSError) -> Misconfigured:
        return Misconfigured(
            f"--output: cannot write beside {self._paths[0]}: {error.strerror}; what was judged is kept, and the same "
            "command goes on with the rest"
        )

    def _write_letter(self, message: OutgoingMessage) -> None:
        headers = {name: (text or b"").decode(errors="replace") for name, text in message.headers}
        line = {
            "image_id": headers.get("image_id", ""),
            "reason": headers["error.reason"],
            "detail": headers["error.detail"],
        }
        self._files[1].write(f"{json.dumps(line, ensure_ascii=False)}\n")
        self.letters += 1

    def _write_verdict(self, message: OutgoingMessage) -> None:
        headers = dict(message.headers)
        told, record, text = headers.get(self._file_header), headers.get(MEMBER_HEADER), (message.value or b"").decode()
        verdict = json.loads(text)
        if told is None:  # of a file that was gone when it was found, and was there when it was read
            self._count(verdict, text)
            return
        # As it came: making JSON of it again would take a twentieth of a run on small images.
        self._journal.write(told.decode(), text, None if record is None else record.decode())
        self._take(JudgedFile.read(json.loads(told)), verdict, text)

    def _take(self, file: JudgedFile, verdict: Document, text: str) -> None:
        is_reference = file.key.startswith(REFERENCE)
        self.pictures.append(picture_of(verdict, file, place=len(self.pictures), is_reference=is_reference))
        if is_reference:
            self.reference += 1
        else:
            self._count(verdict, text)

    def _count(self, verdict: Document, text: str) -> None:
        self._files[0].write(f"{text}\n")
        if verdict["verdict"] == Verdict.UNIQUE:
            self.unique += 1
        else:
            self.duplicates += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with ExitStack() as closing:
                for file in self._files:
                    closing.callback(file.close)
            if kind is None:
                self._complete()
        except OSError as exc:
            if kind is None:
                raise self._cannot_write(exc) from exc

    def _complete(self) -> None:
        verdicts, dead = self._paths
        if self.letters:
            partial(dead).replace(dead)
        else:
            partial(dead).unlink()
            dead.unlink(missing_ok=True)
        partial(verdicts).replace(verdicts)

    def summary(self) -> str:
        """Return the counts in one line."""
        images, duplicates = counted(self.unique + self.duplicates, "image"), counted(self.duplicates, "duplicate")
        return f"{images}: {self.unique} unique, {duplicates}; {counted(self.letters, 'dead letter')}"
