"""The one error that a user of `sim` sees: a line that says what to do."""


class TriptychError(Exception):
    """Something that the user can mend; the message is one line."""
