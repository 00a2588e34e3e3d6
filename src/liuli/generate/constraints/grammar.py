"""What a completion must look like: a JSON Schema, a regular expression, a list of choices, or a grammar in Lark's syntax.

    grammar = Grammar.of_schema({"type": "object", ...})
    model.complete(prompt, grammar=grammar)

A `Grammar` is checked when it is created, knows no model, and can be used for any number of requests.
"""

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from liuli.errors import LiuliError
from liuli.generate.constraints.lark_text import bounded_lark
from liuli.generate.constraints.library_errors import located
from liuli.generate.constraints.schema_check import check_schema, library_schema
from liuli.units import counted

if TYPE_CHECKING:
    from liuli.generate.constraints.grammar_constraint import GrammarConstraint
    from liuli.tokens import Tokenizer

Kind = Literal["schema", "regular expression", "choices", "grammar"]


@dataclass(frozen=True, eq=False)
class Grammar:
    """Use `of_schema`, `of_regex`, `of_choices` or `of_lark`.

    Attributes:
        kind: what it was created from.
        text: the grammar in the library's form.
        schema: the JSON Schema, if it was created from one.
    """

    kind: Kind
    text: str
    schema: Any = None

    @classmethod
    def of_schema(cls, schema: Mapping[str, Any] | bool) -> "Grammar":
        """JSON that is valid under a JSON Schema (draft 2020-12, or the draft that its `$schema` names).

        Properties come in the order of the schema. White space is allowed where JSON allows it, but at most one space, or a
        line break with at most 16 spaces: without a limit, a model that is kept from what it would write can write white space
        for ever.

        Raises:
            LiuliError: it is no valid schema, no document satisfies it, or it has a keyword that cannot be guaranteed.
        """
        import llguidance

        check_schema(schema)
        text = llguidance.LLMatcher.grammar_from_json_schema(json.dumps(library_schema(schema)))
        return cls("schema", text, copy.deepcopy(schema))

    @classmethod
    def of_regex(cls, pattern: str) -> "Grammar":
        """A text that a regular expression matches as a whole. The syntax is that of Rust's `regex` crate: as Python's, but
        without look-around and back-references.

        Raises:
            LiuliError: it is not a regular expression in this syntax.
        """
        import llguidance

        text = llguidance.LLMatcher.grammar_from_regex(pattern)
        if problem := llguidance.LLMatcher.validate_grammar(text):
            reason = problem.rstrip().split("\n")
            found = next((line for line in reason if line.startswith("error: ")), reason[0]).removeprefix("error: ")
            raise LiuliError(f"the regular expression {pattern!r} cannot be used: {found}")
        return cls("regular expression", text)

    @classmethod
    def of_choices(cls, choices: Sequence[str]) -> "Grammar":
        """One of the given texts, exactly.

        Raises:
            LiuliError: there are none, one is empty, or two are the same.
        """
        import llguidance

        if isinstance(choices, str) or not choices or not all(isinstance(choice, str) for choice in choices):
            raise LiuliError("the choices must be a list of at least one text")
        if "" in choices:
            raise LiuliError("one of the choices is empty: remove it")
        if len(set(choices)) < len(choices):
            twice = next(choice for choice in choices if list(choices).count(choice) > 1)
            raise LiuliError(f"the choice {twice!r} is there twice: remove one")
        pattern = "|".join(map(re.escape, choices))
        return cls("choices", llguidance.LLMatcher.grammar_from_regex(f"({pattern})"))

    @classmethod
    def of_lark(cls, text: str) -> "Grammar":
        """A text that a context-free grammar derives from `start`, in llguidance's variant of Lark's syntax. `%json {…}` is
        JSON under a schema, as in `of_schema`; `<name>` is the special token of that name; the text of a rule
        `name[capture]` is among the captures.

        Raises:
            LiuliError: it is no such grammar; a schema in it cannot be used.
        """
        import llguidance

        library = llguidance.LLMatcher.grammar_from_lark(bounded_lark(text))
        if problem := llguidance.LLMatcher.validate_grammar(library):
            raise LiuliError(f"the grammar cannot be used: {located(problem)}")
        return cls("grammar", library)

    def start(
        self,
        tokenizer: "Tokenizer",
        size: int,
        max_tokens: int,
        ends: Sequence[int] = (),
        prompt: Sequence[int] = (),
    ) -> "GrammarConstraint":
        """The constraint of one request.

        Args:
            size: the ids of the model.
            max_tokens: the most tokens of the completion. It is complete and valid within them.
            ends: ids that end the completion. They are allowed whenever the text is complete.
            prompt: the ids before the completion.

        Raises:
            LiuliError: the shortest text that it allows has more tokens than that; the vocabulary cannot spell it; there is
                none; the grammar names a special token that the tokenizer does not have.
        """
        from liuli.generate.constraints.grammar_constraint import GrammarConstraint
        from liuli.generate.constraints.prepared import prepare
        from liuli.generate.constraints.vocabulary import Vocabulary

        vocabulary = Vocabulary.of(tokenizer, size)
        if self not in vocabulary.prepared:
            vocabulary.prepared[self] = prepare(self.text, self.kind, vocabulary)
        prepared, context = vocabulary.prepared[self], vocabulary.context_after(prompt)
        shortest = vocabulary.fewest_tokens(prepared.shortest, context)
        if shortest is None:
            raise LiuliError(
                f"the {tokenizer.kind} vocabulary of this model cannot spell the shortest text that the {self.kind} allows: "
                f"use another model"
            )
        if len(shortest) > max_tokens:
            raise LiuliError(
                f"the shortest text that the {self.kind} allows has {counted(len(shortest), 'token')}, but max_tokens is only "
                f"{max_tokens:,}: set max_tokens to {len(shortest)} or more"
            )
        return GrammarConstraint(vocabulary, prepared, max_tokens, ends, context)
