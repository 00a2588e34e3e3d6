"""The built-in chat templates, in Jinja, for models that have none. All others come with a model and run in a sandbox
(`sandbox.py`)."""

from liuli.tokens.tokenizer import Tokenizer

# ChatML, with tools in the format of Hermes and Qwen. Models that Liuli fine-tunes get this template.
CHATML = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- 'These tools can be called, each described by a JSON object on a line:' }}
    {%- for tool in tools %}
        {{- '\\n' + tool | tojson }}
    {%- endfor %}
    {{- '\\nTo call one, write <tool_call>, a JSON object with its "name" and "arguments", and </tool_call>.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {{- '<|im_start|>user\\n' if loop.first or loop.previtem.role != 'tool' else '\\n' }}
        {{- '<tool_response>\\n' + message.content + '\\n</tool_response>' }}
        {{- '<|im_end|>\\n' if loop.last or loop.nextitem.role != 'tool' }}
    {%- elif not (tools and loop.first and message.role == 'system') %}
        {{- '<|im_start|>' + message.role + '\\n' + (message.content or '') }}
        {%- for call in message.tool_calls or [] %}
            {{- '\\n' if message.content or not loop.first }}
            {{- '<tool_call>\\n' }}
            {{- {'name': call.function.name, 'arguments': call.function.arguments} | tojson }}
            {{- '\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

# A format for models with BERT's vocabulary: every turn ends with [SEP].
BERT = """\
{{- '[CLS]' }}
{%- for message in messages %}
    {%- if message.role == 'tool' or message.tool_calls or tools %}
        {{- raise_exception('the form [CLS] … [SEP] has no place for tools') }}
    {%- endif %}
    {{- message.content + '[SEP]' }}
{%- endfor %}
"""

# Gemma's turns, for its base models, whose tokenizers have the tokens but no template. There is no system turn: the system
# message is put before the user's first message.
GEMMA = """\
{{- bos_token }}
{%- for message in messages %}
    {%- if message.role == 'tool' or message.tool_calls or tools %}
        {{- raise_exception("Gemma's turns have no place for tools") }}
    {%- endif %}
    {%- if message.role != 'system' %}
        {{- '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\\n' }}
        {%- if not loop.first and loop.previtem.role == 'system' %}
            {{- loop.previtem.content + '\\n\\n' }}
        {%- endif %}
        {{- message.content + '<end_of_turn>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<start_of_turn>model\\n' }}
{%- endif %}
"""
OWN = (CHATML, BERT, GEMMA)
CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")
GEMMA_TOKENS = ("<start_of_turn>", "<end_of_turn>")


def built_in_template(tokenizer: Tokenizer) -> tuple[str, str] | None:
    """Returns the built-in template whose tokens are in the tokenizer, and its name for users; None if there is none."""
    if tokenizer.kind == "WordPiece" and "[SEP]" in tokenizer.specials:
        return BERT, "the form [CLS] … [SEP] … [SEP]"
    if all(token in tokenizer.added for token in CHATML_TOKENS):
        return CHATML, "ChatML"
    if "bos_token" in tokenizer.names and all(token in tokenizer.specials for token in GEMMA_TOKENS):
        return GEMMA, "the turns of Gemma"
    return None
