"""Texts in fields of a fixed size. Pure."""

import codecs


def text_of(data: bytes, encoding: str) -> str:
    """A field's text without its padding. Raises UnicodeError.

    The text ends at the first NUL; blanks at its end are padding. A character that the end of the field cuts
    in two is left out.
    """
    if len("A".encode(encoding)) == 1:  # behind the NUL may stand anything, valid or not
        data = data.partition(b"\0")[0]
    text = codecs.getincrementaldecoder(encoding)().decode(data)
    return text.partition("\0")[0].rstrip(" ")
