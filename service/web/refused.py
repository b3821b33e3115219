"""What a shape says of a value, in the words of a form."""

import re

PLAINLY = (
    (r"Object missing required field", "is required"),
    (r"Expected `str` of length >= 1|Expected `\w+`, got `null`|must have a value", "is required"),
    (r"Expected `str` of length <= (\d+)", r"is longer than \1 characters"),
    (r"Expected `(?:int|float|decimal)` >= (\S+)", r"is less than \1"),
    (r"Expected `(?:int|float|decimal)` <= (\S+)", r"is more than \1"),
    (r"Expected `str` matching regex .*@", "is not an e-mail address"),
    (r"Expected `str` matching regex .*A-Z", "is not written in capitals of the length that is asked for"),
    (r"Expected `str` matching regex .*a-z_", "takes small letters, digits and underscores only"),
    (r"Expected `str` matching regex", "has another form than is asked for"),
    (r"Invalid enum value", "is none of the choices"),
    (r"Expected `array` of length >= 1", "needs at least one"),
)
"""What a shape says of a value, as a person reads it."""


def plainly(detail: str) -> str:
    """A refusal in words for who filled the form in; rules speak plainly already."""
    for pattern, words in PLAINLY:
        if found := re.match(pattern, detail):
            return found.expand(words)
    return detail.rstrip(".")
