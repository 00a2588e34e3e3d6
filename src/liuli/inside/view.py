"""What all views share: which model read what, the checks of the numbers, and what the view cannot show.

A view is a frozen dataclass. Its own fields are the body of its JSON; the fields of `View` are the envelope. Arrays are written
as `arrays.Packed`. The schema of every view is generated from its fields (`schema.py`), so each field says what it holds.
"""

from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar

from liuli.fields import Record, as_json
from liuli.generate.model import Model
from liuli.inside.arrays import Array, pack
from liuli.inside.caveats import caveat
from liuli.inside.passage import Passage
from liuli.inside.self_check import SelfCheck


class ViewPart(Record):
    """A dataclass inside a view: JSON in which arrays are packed as their fields say."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        found = {}
        for each in fields(self):  # pyright: ignore[reportArgumentType]
            value = getattr(self, each.name)
            if isinstance(value, Array):
                value = pack(value, each.metadata["dtype"], each.metadata["layout"])
            found[each.name] = as_json(value)
        return found


@dataclass(frozen=True, slots=True)
class ModelFacts(Record):
    """The model of a view.

    Attributes:
        path: the name that it was opened by. hash: its identity (`Model.hash`). adapter: path and hash, or None.
        stage: what its model card says: base, assistant, adapter; None without a card.
        parameters: how many numbers it has, tied copies counted once.
        norm: "rms" or "layer". dtype, device: of its computation.
        tokenizer: its kind.
    """

    path: str
    hash: str
    adapter: dict[str, str] | None
    stage: str | None
    family: str
    parameters: int
    layers: int
    heads: int
    kv_heads: int
    width: int
    feed_forward_width: int
    vocab_size: int
    context: int
    norm: str
    tied: bool
    dtype: str
    device: str
    tokenizer: str

    @classmethod
    def of(cls, model: Model) -> "ModelFacts":
        identity, config, decoder = model.identity(), model.config, model.decoder
        return cls(
            path=identity["path"],
            hash=identity["hash"],
            adapter=identity.get("adapter"),
            stage=model.stage,
            family=config.family,
            parameters=sum(parameter.numel() for parameter in decoder.parameters()),
            layers=config.layers,
            heads=config.heads,
            kv_heads=config.kv_heads,
            width=config.width,
            feed_forward_width=config.feed_forward_width,
            vocab_size=config.vocab_size,
            context=config.context,
            norm="rms" if config.rms_norm else "layer",
            tied=config.tied,
            dtype=str(decoder.dtype).removeprefix("torch."),
            device=str(decoder.device),
            tokenizer="" if model.tokenizer is None else model.tokenizer.kind,
        )


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class View(ViewPart):
    """The envelope.

    Attributes:
        NAME: of the view, for `liuli look --view`. VERSION: of its JSON; it grows when a reader of the old one would fail.
        model: which model. input: the text that it read.
        seed: of the random numbers; None if there are none.
        checks: what must hold for the view to be true.
        caveats: keys of `caveats.CAVEATS`.
    """

    NAME: ClassVar[str]
    VERSION: ClassVar[int] = 1

    model: ModelFacts
    input: Passage
    seed: int | None = None
    checks: tuple[SelfCheck, ...]
    caveats: tuple[str, ...]

    def __repr__(self) -> str:
        holding = sum(check.ok for check in self.checks)
        checks = f"{holding} of {len(self.checks)} self-checks hold"
        return f"{type(self).__name__}({self.model.path!r}, {self.input.text!r}: {checks})"

    @property
    def schema(self) -> str:
        """The name and version of the JSON: "lens@1"."""
        return f"{self.NAME}@{self.VERSION}"

    @property
    def ok(self) -> bool:
        """Whether all checks hold."""
        return all(check.ok for check in self.checks)

    def caveat_texts(self, language: str = "en") -> list[str]:
        """The caveats in English ("en") or Chinese ("zh")."""
        return list(map(partial(caveat, language=language), self.caveats))

    def to_json(self) -> dict[str, Any]:
        """The envelope, with the view's own fields in "body". It contains no arrays, only packed ones."""
        found = ViewPart.to_json(self)
        envelope = {name: found.pop(name) for name in ENVELOPE}
        return {"schema": self.schema, **envelope, "body": found}

    def _repr_html_(self) -> str:
        """The drawing, in a notebook."""
        from liuli.inside.html import in_notebook

        return in_notebook(self)


ENVELOPE = tuple(each.name for each in fields(View))
