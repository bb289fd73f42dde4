"""The errors a person meets. Every message says what was wrong, where, and what to do.

Permanent and transient failures are different classes: only a `TransientError` may be retried, and
never around the submission of an order.
"""


class TripleGainError(Exception):
    """Root of every error this package raises on purpose."""


class PermanentError(TripleGainError):
    """Trying again cannot help: a person has to change something."""


class TransientError(TripleGainError):
    """The same call may succeed later: a time-out, a lost connection, a busy venue."""


class SettingsError(PermanentError):
    """A configuration file or environment variable is wrong."""


class InputError(PermanentError):
    """A file, symbol, date or argument given by a person cannot be used."""


class CredentialError(PermanentError):
    """A key of a venue, or the master key that seals them, is missing, refused or cannot be opened."""


class LiveTradingError(PermanentError):
    """Trading with real money is not allowed as things stand."""


class BudgetError(PermanentError):
    """What a call of a model could cost or did cost cannot be told, or contradicts what is booked."""


class DataError(PermanentError):
    """Data from outside breaks its contract."""


class UnavailableError(TransientError):
    """A query failed, so its answer is unknown. It is never to be read as 'nothing there'."""


class StaleFenceError(PermanentError):
    """Another holder has taken the account since; this one must stop at once."""


class AccountBusyError(TransientError):
    """Another session holds the account's advisory lock."""


class SeatBusyError(TransientError):
    """Another process is putting the same question to the same seat at this moment."""


class UnknownOutcomeError(TransientError):
    """An order was sent and no answer came: it may or may not exist at the venue."""
