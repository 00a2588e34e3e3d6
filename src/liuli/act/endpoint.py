"""An OpenAI-compatible endpoint that completes chats.

endpoint = Endpoint("http://127.0.0.1:8080/v1", "qwen2.5")
endpoint.reply([{"role": "user", "content": "Hello"}], max_tokens=50)
"""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from liuli.display import printable, why
from liuli.errors import LiuliError
from liuli.tokens.chat.marks import Messages

KEY = "OPENAI_API_KEY"  # the environment variable with the key, which is sent if it is set
TIMEOUT = 300.0  # seconds
LONGEST = 4_000_000  # bytes of a response
SHOWN = 200  # characters of an error message


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirection would take the key to another host."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


class Endpoint:
    """An endpoint and one of its models.

    Args:
        url: its base, which usually ends with `/v1`. model: the name that it knows the model by.

    Raises:
        LiuliError: the URL is not one of http or https.
    """

    def __init__(self, url: str, model: str):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise LiuliError(f"the endpoint must be a URL that begins with http:// or https://, not {url!r}")
        self.url, self.model = url.rstrip("/"), model

    def reply(
        self, messages: Messages, max_tokens: int, stop: Sequence[str] = (), seed: int | None = None, temperature: float = 0.0
    ) -> str:
        """The text of the reply.

        Raises:
            LiuliError: the endpoint cannot be reached, refuses, or answers in another form.
        """
        body = {"model": self.model, "messages": list(messages), "max_tokens": max_tokens, "temperature": temperature}
        optional = {"stop": list(stop) or None, "seed": seed}
        body |= {name: value for name, value in optional.items() if value is not None}
        headers = {"Content-Type": "application/json"}
        if os.environ.get(KEY):
            headers["Authorization"] = f"Bearer {os.environ[KEY]}"
        request = urllib.request.Request(f"{self.url}/chat/completions", json.dumps(body).encode(), headers)
        found = self._sent(request)
        try:
            content = found["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError):
            content = None
        if not isinstance(content, str):
            raise LiuliError(f"{self.url} returned no text in choices[0].message.content: is it a chat completions API?")
        return content

    def _sent(self, request: urllib.request.Request) -> Any:
        try:
            with _OPENER.open(request, timeout=TIMEOUT) as response:
                data = response.read(LONGEST + 1)
        except urllib.error.HTTPError as error:
            said = printable(error.read(LONGEST).decode(errors="replace"))[:SHOWN]
            raise LiuliError(f"{self.url} refused the request with status {error.code}: {said}") from None
        except OSError as error:
            reason = getattr(error, "reason", error)
            raise LiuliError(
                f"{self.url} cannot be reached: {why(reason) if isinstance(reason, OSError) else reason}"
            ) from None
        if len(data) > LONGEST:
            raise LiuliError(f"{self.url} returned more than {LONGEST:,} bytes: lower max_tokens")
        try:
            return json.loads(data)
        except ValueError:
            raise LiuliError(
                f"{self.url} returned what is not JSON: {printable(data[:SHOWN].decode(errors='replace'))}"
            ) from None
