"""The one exception that reaches the user as a sentence."""


class UserError(Exception):
    """Something the user can mend.

    Its text is one sentence for the screen: what is wrong, where, and what to do. Everything that
    is not a `UserError` is a defect of ours.
    """
