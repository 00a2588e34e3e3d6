"""Foreign text on its way to people: one place that cleans what goes to a terminal or into an error message.

A model, a data file, a template or a tool may hold any characters. Some of them drive a terminal (escape sequences, C1
controls, carriage returns) or turn the order in which a line is shown (bidirectional overrides). They are shown by their
code points instead.
"""

import unicodedata

BIDIRECTIONAL = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}  # embeddings, overrides and isolates
SIGNS = {" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍"}


def drives_terminal(character: str) -> bool:
    """Whether a terminal may act on the character instead of showing it. Line breaks and tabs count too."""
    return unicodedata.category(character) == "Cc" or ord(character) in BIDIRECTIONAL


def code_point(character: str) -> str:
    """The character by its number: `<U+001B>`."""
    return f"<U+{ord(character):04X}>"


def on_screen(text: str) -> str:
    """A text of several lines for a terminal: as it is, except characters that would drive the terminal."""
    return "".join(c if c in "\n\t" or not drives_terminal(c) else code_point(c) for c in text)


def printable(text: str) -> str:
    """A foreign name or message on one line, for a terminal or an error message: whatever drives a terminal, or is not a
    printable character, becomes U+FFFD."""
    return "".join(c if c.isprintable() and not drives_terminal(c) else "\N{REPLACEMENT CHARACTER}" for c in text)


def visible(text: str, data: bytes = b"") -> str:
    """A text on one line, exactly: spaces and line breaks as signs, other characters that cannot be shown by their numbers.

    Args:
        data: the bytes that `text` was decoded from. Given them, the bytes of a broken character are shown as numbers.
    """
    signs = SIGNS | {sign: code_point(sign) for sign in SIGNS.values()}  # a sign that stands in the text itself
    if "\N{REPLACEMENT CHARACTER}" in text:
        text = data.decode(errors="surrogateescape")  # a byte that is not UTF-8 becomes U+DC00 + byte
        signs |= {chr(0xDC00 + byte): f"<{byte:02X}>" for byte in range(0x80, 0x100)}
    shown = (signs.get(c, c if c.isprintable() and not drives_terminal(c) else code_point(c)) for c in text)
    return "".join(shown)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, printable."""
    return printable(str(error).strip().split("\n")[0])


def why(error: BaseException) -> str:
    """What the operating system says went wrong, without its number and the file's name."""
    strerror = getattr(error, "strerror", None)
    return strerror[0].lower() + strerror[1:] if strerror else first_line(error)
