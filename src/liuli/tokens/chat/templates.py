"""The two chat templates of our own, in Jinja. Any other comes with a model and runs in a sandbox (`sandbox.py`)."""

# ChatML, with tools as Hermes and Qwen write them: what models trained here get.
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

# The articles' form for models with BERT's vocabulary: a turn ends at [SEP], whoever speaks.
BERT = """\
{{- '[CLS]' }}
{%- for message in messages %}
    {%- if message.role == 'tool' or message.tool_calls or tools %}
        {{- raise_exception('the form [CLS] … [SEP] has no place for tools') }}
    {%- endif %}
    {{- message.content + '[SEP]' }}
{%- endfor %}
"""
OWN = (CHATML, BERT)
