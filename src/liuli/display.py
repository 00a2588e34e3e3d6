"""Foreign text on its way to people: the one place that cleans what goes to a terminal or into an error message.

A model, a data file, a template, a file's name or a tool may hold any characters. Some of them control a terminal (escape
sequences, C1 controls, carriage returns) or change the order in which a line is shown (bidirectional overrides). They are
shown as their code points or as a replacement character instead.

- `on_screen`: a text of several lines. `on_line`: a message on one line. Both keep every other character.
- `printable`: a foreign name inside a message. `visible`: a text on one line, so exact that white space can be seen.
- `escaped`: JSON whose strings parse to the same text.
"""

import re
import unicodedata

# Control characters (category Cc), line and paragraph separators, and the bidirectional embeddings, overrides and isolates.
# The marks U+200E, U+200F and U+061C are not among them: they do no more than a letter of their script does.
CONTROLS = "\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
_CONTROL = re.compile(f"[{CONTROLS}]")
_UNSAFE_IN_JSON = re.compile(f"[{CONTROLS}\ud800-\udfff]")  # a surrogate alone has no encoding
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})  # Unicode categories that `printable` replaces
# Categories that `visible` replaces. Unassigned characters are not among them, because which they are depends on the version of
# Unicode, and the drawing code (`visible` in ui/src/text.ts) must write the same.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zs", "Zl", "Zp"})
SIGNS = {" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍"}


def drives_terminal(character: str) -> bool:
    """Whether a terminal may act on the character instead of showing it. Line breaks and tabs are among them."""
    return _CONTROL.match(character) is not None


def code_point(character: str) -> str:
    """The character by its number: `<U+001B>`."""
    return f"<U+{ord(character):04X}>"


def on_screen(text: str) -> str:
    """A text of several lines for a terminal: unchanged, except that characters that drive a terminal become code points.
    Line breaks and tabs stay."""
    return _CONTROL.sub(lambda found: found[0] if found[0] in "\n\t" else code_point(found[0]), text)


def on_line(text: str) -> str:
    """A message on one line for a terminal: as `on_screen`, but a line break and a tab become signs."""
    return _CONTROL.sub(lambda found: SIGNS.get(found[0]) or code_point(found[0]), text)


def printable(text: str) -> str:
    """A foreign name or message on one line, for a terminal or an error message. Every character that drives a terminal or
    is invisible becomes U+FFFD."""
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(c) in _INVISIBLE else c for c in text)


def visible(text: str, data: bytes = b"") -> str:
    """A text on one line, exactly: spaces and line breaks as signs, other characters that cannot be seen by their numbers.

    Args:
        data: the bytes that `text` was decoded from, if they are known. Then the bytes of a broken character are shown as
            numbers.
    """
    signs = SIGNS | {sign: code_point(sign) for sign in SIGNS.values()}  # a sign that is part of the text itself
    if data and "\N{REPLACEMENT CHARACTER}" in text:
        text = data.decode(errors="surrogateescape")  # a byte that is not UTF-8 becomes U+DC00 + byte
        signs |= {chr(0xDC00 + byte): f"<{byte:02X}>" for byte in range(0x80, 0x100)}
    return "".join(signs.get(c) or (code_point(c) if unicodedata.category(c) in _UNSEEN else c) for c in text)


def escaped(json_text: str) -> str:
    """JSON with \\u escapes for every character that drives a terminal, and for surrogates. `json_text` is on one line, as
    `json.dumps` makes it: such characters then only occur inside strings, and the result parses to the same value."""
    return _UNSAFE_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", json_text)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, printable."""
    return printable(str(error).strip().split("\n")[0])


def why(error: BaseException) -> str:
    """What the operating system says went wrong, without its number and the file's name."""
    strerror = getattr(error, "strerror", None)
    return strerror[0].lower() + strerror[1:] if strerror else first_line(error)
