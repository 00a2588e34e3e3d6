"""FolderSearch: finds passages in the user's own texts, and reads documents."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field

from liuli.act.builtin.search_index import SearchIndex
from liuli.act.observation import ToolError
from liuli.act.toolbox import Toolbox

MOST = 10  # passages of one search
PAGE = 2000  # characters that are read at once


class FolderSearch(Toolbox):
    """Tools over files and folders of texts. What they return is quoted from these texts.

    Args:
        paths: files and folders of `.txt .md .jsonl .json .parquet`.

    Raises:
        LiuliError: what `SearchIndex` raises.
    """

    def __init__(self, paths: Sequence[Path]):
        self._index = SearchIndex(paths)

    def search(self, query: str, limit: Annotated[int, Field(ge=1, le=MOST)] = 3) -> str:
        """Search the user's documents, and return the best passages with the names of their documents. 在用户的文档中搜索。

        Args:
            query: a few words, in the language of the documents
            limit: how many passages to return
        """
        self._index.refresh()
        found = self._index.search(query, limit)
        if not found:
            return f"Nothing was found for {query!r} in {len(self._index.documents()):,} documents."
        return "\n\n".join(f"[{each.document}, line {each.line}]\n{each.text.strip()}" for each in found)

    def read_document(self, document: str, start: Annotated[int, Field(ge=0)] = 0) -> str:
        """Read a document by the name that a search has returned. 按名称阅读文档。Long documents are read in parts.

        Args:
            document: its name
            start: the character to begin at
        """
        self._index.refresh()
        text = self._index.document(document)
        if text is None:
            raise ToolError(f"There is no document {document!r}. Search first, and use a name that the search returned.")
        part = text[start : start + PAGE]
        rest = len(text) - start - len(part)
        return f"{part}\n[{rest:,} more characters; continue with start = {start + len(part)}]" if rest > 0 else part
