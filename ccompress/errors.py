"""The one kind of error that the user can mend."""


class InputError(ValueError):
    """Something the user gave is wrong: an option, a file, a folder.

    The message is one line and names what was wrong, where, and what would be right. The command
    line prints it without a traceback and exits with code 2.
    """
