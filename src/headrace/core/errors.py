"""Every error Headrace raises on purpose.

::

    HeadraceError
    ├── UserError            the caller can mend it; shown without a traceback
    │   ├── InvalidInput     a value, file or request is not what was expected
    │   ├── NotFound         no such thing
    │   ├── Conflict         it changed meanwhile, or already exists differently
    │   ├── Denied           this identity may not do this
    │   │   └── ProofNeeded  it may, once it has proved itself by a second factor
    │   ├── Unauthenticated  no valid identity was presented
    │   ├── GateFailed       a gate refused; the evidence says why
    │   ├── WaitsForPerson   nothing is wrong: somebody has to decide
    │   └── UserCodeError    the user's own function raised
    ├── Unavailable          cannot be done right now; trying again may work
    │   └── Busy             so many ask already that one more is turned away
    └── InternalError        our fault; please report it
        ├── ModelFailed      a model raised, hung, or answered what is no answer
        └── Unanswered       what its caller is told of that

Status codes and exit codes are tables at the edges (``web``, ``cli``), not here.
"""

from __future__ import annotations


class HeadraceError(Exception):
    """Base of everything below. ``str(error)`` says what, got, expected and the next step."""


class UserError(HeadraceError):
    """The caller can mend this; it is shown without a traceback."""


class InvalidInput(UserError):
    """A value, file or request is not what was expected."""


class NotFound(UserError):
    """There is no such thing."""


class Conflict(UserError):
    """It changed meanwhile, already exists differently, or another process holds it."""


class Denied(UserError):
    """The identity is known but may not do this."""


class ProofNeeded(Denied):
    """The identity may do this as soon as it has proved itself by a second factor."""


class Unauthenticated(UserError):
    """No valid identity was presented."""


class GateFailed(UserError):
    """A gate refused; the verdict's evidence says why."""


class WaitsForPerson(UserError):
    """Nothing is wrong: a person has to decide before it goes on."""


class UserCodeError(UserError):
    """A function in the user's own project raised; the message names their file and line."""


class IllegalTransition(Conflict):
    """The state machine has no such step from the present state."""


class Unavailable(HeadraceError):
    """It cannot be done right now, and nothing was done; trying again may work."""


class Busy(Unavailable):
    """So many ask already that one more is turned away: no fault of whom or what was asked."""


class InternalError(HeadraceError):
    """Our fault. The message carries an id to find the log entry by."""


class ModelFailed(InternalError):
    """A model raised, hung, ended, or answered what is no answer: a failure of its release."""


class Unanswered(InternalError):
    """A model could not answer a request: says which release's, and the id under which that is recorded. Its
    text is for the caller, and holds nothing of the request or of what the model said."""
