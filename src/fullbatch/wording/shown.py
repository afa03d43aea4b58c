"""What of paths, URLs and messages is shown: nothing secret, and nothing that a screen would obey."""

import logging
import re
import unicodedata
from os import PathLike, fspath
from typing import Any, Self
from urllib.parse import unquote

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^\s'\"<>]*)")
# A query of a URL, or of the path alone, as it stands in logs of others.
_QUERY = re.compile(r"\?[\w.%~-]+=[^\s'\"<>]*")
_LONG_WORD = re.compile(r"\w{8}")
# Shorter ones are part of too many words to be struck out of a text.
_SHORTEST_SECRET = 3


class Url(str):
    """A URL as it is shown, without user name, password and query. Opening it takes `real`.

    Attributes
    ----------
    real : str
        The whole URL.
    """

    real: str

    def __new__(cls, url: str) -> Self:
        made = super().__new__(cls, _bare(url))
        made.real = url
        return made

    def __getnewargs__(self) -> tuple[str]:
        return (self.real,)


def named(path: str | PathLike[str]) -> str:
    """A path or URL under the name by which it is shown; a URL with secrets is a `Url`."""
    name = fspath(path)
    if isinstance(name, Url) or "://" not in name:
        return name
    url = Url(name)
    return name if url == name else url


def real(path: str | PathLike[str]) -> str:
    """A path or the whole URL, to open it."""
    name = fspath(path)
    return name.real if isinstance(name, Url) else name


def redacted(text: str) -> str:
    """A text without the user names, passwords and queries of the URLs in it."""
    return _URL.sub(lambda found: _bare(found[0]), text)


def without_secrets(text: str, url: str | PathLike[str]) -> str:
    """What somebody else's error or log says, without the secrets of any URL, those of `url` also where they stand by
    themselves.
    """
    text = _QUERY.sub("", redacted(text))
    for secret in sorted(_secrets(real(url)), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text


class WithoutSecrets(logging.Filter):
    """For loggers of others that tell URLs as they are, or parts of them: strikes their secrets out."""

    def __init__(self) -> None:
        super().__init__()
        self._urls: set[str] = set()

    def know(self, url: str | PathLike[str]) -> None:
        """Strike out what is secret of this URL, wherever it stands."""
        if isinstance(url, Url):
            self._urls.add(url.real)

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through, changed."""
        text = redacted(record.getMessage())
        for url in self._urls:
            text = without_secrets(text, url)
        record.msg, record.args = _QUERY.sub("", text), None
        return True


def as_text(value: Any) -> str:
    """One line of plain text: line breaks, escapes and other characters that no screen shows, as Python writes them."""
    return "".join(character if _is_plain(character) else _escaped(character) for character in str(value))


def _bare(url: str) -> str:
    """A URL, or several joined by "::", without user name, password and query."""
    return "::".join(map(_bare_part, url.split("::")))


def _bare_part(url: str) -> str:
    scheme, colon, rest = url.partition("://")
    if not colon:
        return url
    user = _user(rest)
    rest = rest[len(user) :]
    end = min(
        (place for place in map(rest.find, "?#") if place >= 0 and _is_query(scheme, rest[place + 1 :])), default=None
    )
    return f"{scheme}://{rest[:end]}"


def _user(rest: str) -> str:
    """User name and password, up to the @, of what follows the scheme."""
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    if "@" in host:
        return host[: host.rindex("@") + 1]
    after_colon = host.partition(":")[2]
    if (
        "@" in rest and after_colon and not after_colon.isdecimal() and "]" not in after_colon
    ):  # a password with a / or ?
        return rest[: rest.rindex("@") + 1]
    return ""


def _is_query(scheme: str, rest: str) -> bool:
    """Whether it is one; in names of files of other kinds of URL, ? and # may be part of a name or a glob."""
    return scheme.lower() in ("http", "https") or "=" in rest or _LONG_WORD.match(rest) is not None


def _secrets(url: str) -> set[str]:
    found: set[str] = set()
    for part in url.split("::"):
        rest = part.partition("://")[2]
        user = _user(rest)
        found |= {user[:-1], *user[:-1].split(":", 1), *re.split("[:/?#@]", user)}
        for begin in "?#":
            query = rest[len(user) :].partition(begin)[2]
            if query and _is_query(part.partition("://")[0], query):
                found.add(query)
                found |= {pair.partition("=")[2] or pair for pair in re.split("[&;]", query)}
    found |= {unquote(secret) for secret in found}
    return {secret for secret in found if len(secret) >= _SHORTEST_SECRET}


def _is_plain(character: str) -> bool:
    return character.isprintable() or unicodedata.category(character) == "Zs"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
