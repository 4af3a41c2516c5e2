"""Errors that are told to a person; the command line turns each into an exit status."""


class DapError(Exception):
    """Something went wrong; `hint` says what to do about it."""

    status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InputError(DapError):
    """What a person gave is refused; nothing was changed."""

    status = 2
