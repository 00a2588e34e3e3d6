"""How much memory a training run takes at its largest, by part. Formulas only; no weights, no PyTorch.

In: a `Config` and a `Workload`. Out: a `TrainingMemory`. The formulas follow what autograd keeps of the code in `decoder.py`,
`linear.py`, `attention.py` and `logprobs.py`; tests compare them with what it really keeps. All results are in bytes.

Symbols: D width, H query heads, K key/value heads, d head width, F feed-forward width, V vocabulary, T places of a row.
Source of the idea: Korthikanti et al. 2022, https://arxiv.org/abs/2205.05198.
"""

from dataclasses import dataclass

from liuli.fields import Record
from liuli.model.config import Config
from liuli.model.plan import parameter_parts

# Measured (docs/benchmarks.md): Python with PyTorch, and what a tokenizer's tables and the encoded data take per token of its
# vocabulary.
PROGRAM, PER_TOKEN_OF_VOCABULARY = 250e6, 1500
# What the C library holds on to of freed memory, in pieces that do not fit together: a share of what a step or a validation
# takes, and as much again as the largest tensor, which is the head's matrix in fp32 (measured, docs/benchmarks.md).
HEAP = 0.3
SHORT = 512  # places: up to here 16-bit attention on a CPU keeps its scores (`attention.SHORT`)
LOGITS_AT_ONCE, LEAST_TOKENS, ON_A_GPU = 1 << 22, 128, 8  # as in `logprobs.py`
VALIDATED_AT_ONCE = 1024  # tokens, as in `evaluate/loss.py`


@dataclass(frozen=True, slots=True)
class Workload:
    """What a training run computes.

    Attributes:
        length: places of a row. rows: of a step. rows_at_once: of a forward pass.
        bits: of matrix multiplications, 32 or 16. muon: whether Muon trains the matrices, and AdamW the rest; else AdamW all.
        lora: the rank of an adapter, over a frozen base; None: all weights learn.
        base: bytes of a number of that base, 4 or 2.
        validated_bits: of matrix multiplications in a validation.
        recompute: whether only each layer's input is kept, and the rest is computed again in the backward pass.
        on_cpu: else on a GPU, whose memory holds no program.
    """

    length: int
    rows: int
    rows_at_once: int
    bits: int
    muon: bool = False
    lora: int | None = None
    base: int = 2
    validated_bits: int = 32
    recompute: bool = False
    on_cpu: bool = True

    @property
    def tokens(self) -> int:
        """Of a forward pass."""
        return min(self.rows, self.rows_at_once) * self.length

    @property
    def cast(self) -> bool:
        """Whether weights in fp32 are multiplied in 16 bits."""
        return self.bits == 16


@dataclass(frozen=True, slots=True)
class TrainingMemory(Record):
    """What is held at the moment when it is most, in bytes.

    Attributes:
        program: Python, PyTorch, the tokenizer and the data. weights: of the model and an adapter.
        optimizer: the optimizer's state, and the mean of the last weights. gradients: of all that learns.
        activations: kept for the backward pass, with the 16-bit copies of weights that it needs.
        working: logits and their gradients, and other results that are soon given up.
        heap: what was given up, and is held by the C library for later.
    """

    program: float
    weights: float
    optimizer: float
    gradients: float
    activations: float
    working: float
    heap: float

    @property
    def total(self) -> float:
        held = self.program + self.weights + self.optimizer
        return held + self.gradients + self.activations + self.working + self.heap


def training_memory(config: Config, load: Workload) -> TrainingMemory:
    """The memory of a run at its largest: for the loss, in the backward pass of the last layer, of the first, or of the
    embedding, in the optimizer or in a validation, whichever takes most."""
    c = config
    parameters = sum(parameter_parts(c).values())
    learned = parameters if load.lora is None else lora_parameters(c, load.lora)
    matrices = learned if load.lora is not None else c.layers * layer_matrices(c)
    states = 8 * learned - 4 * matrices * load.muon  # two moments of AdamW, one of Muon
    gradients = 4.0 * learned
    waiting = gradients if load.rows > load.rows_at_once else 0.0  # of the rows that were read before
    table = 4.0 * c.vocab_size * c.width if load.lora is None else 0.0  # the gradient of the head, and of the embedding
    in_first = gradients - 4.0 * matrices / c.layers - (0.0 if c.tied else table)  # the embedding's comes last
    added = table if c.tied or waiting else 0.0  # the embedding's own, before it is added to what is there
    moments = (
        (waiting, saved_bytes(c, load), _loss_bytes(c, load)),
        (max(waiting, table), _saved_in_last_layer(c, load), _backward_bytes(c, load)),
        (max(waiting, in_first), _layer_bytes(c, load), _backward_bytes(c, load)),
        (gradients, 0.0, added),
        (gradients, 0.0, _muon_bytes(c, load)),
        (0.0, 0.0, _validation_bytes(c, load)),
    )
    most = max(moments, key=sum)
    return TrainingMemory(
        program=PROGRAM + PER_TOKEN_OF_VOCABULARY * config.vocab_size if load.on_cpu else 0.0,
        weights=4.0 * parameters if load.lora is None else load.base * parameters + 4.0 * learned,
        optimizer=states + 4.0 * learned,
        gradients=most[0],
        activations=most[1],
        working=most[2],
        heap=HEAP * sum(most) + 4.0 * config.vocab_size * config.width if load.on_cpu else 0.0,
    )


def saved_bytes(config: Config, load: Workload) -> float:
    """Kept from the forward pass for the backward pass."""
    numbers = 12 if load.lora is None and config.rms_norm else 8  # the final norm: its input, output, and the normed input
    return numbers * config.width * load.tokens + _saved_by_layers(config, load)


def _saved_by_layers(config: Config, load: Workload) -> float:
    """Of that, what the layers keep: all of it, or each its input."""
    return config.layers * (4.0 * config.width * load.tokens if load.recompute else _layer_bytes(config, load))


def _saved_in_last_layer(config: Config, load: Workload) -> float:
    """Of that, what is left when the backward pass has gone through the final norm; with the last layer's results, if they
    were computed again from its input."""
    again = _layer_bytes(config, load) - 4.0 * config.width * load.tokens if load.recompute else 0.0
    return _saved_by_layers(config, load) + again


def lora_parameters(config: Config, rank: int) -> int:
    """Numbers of a LoRA adapter at all projections. GPT-2's q, k and v share one A."""
    c = config
    queries, keys, inner = c.heads * c.head_width, c.kv_heads * c.head_width, c.feed_forward_width
    attention = (3 if c.rotary else 1) * c.width + queries + 2 * keys + queries + c.width
    feed_forward = (3 if c.gated else 2) * (c.width + inner)
    return c.layers * rank * (attention + feed_forward)


def layer_matrices(config: Config) -> int:
    """Numbers of a layer's matrices."""
    c = config
    return c.width * (2 * (c.heads + c.kv_heads) * c.head_width + (3 if c.gated else 2) * c.feed_forward_width)


def _layer_bytes(config: Config, load: Workload) -> float:
    """What one layer keeps."""
    c, w, learning = config, load.bits // 8, load.lora is None
    queries, keys = c.heads * c.head_width, c.kv_heads * c.head_width
    inputs = 8 * c.width  # both residuals, fp32
    norms = 2 * w * c.width + 8 * c.width * (learning and c.rms_norm)  # outputs; a weight that learns needs the normed input
    if c.post_norms:
        norms += (16 if learning else 8) * c.width
    norms += 12 * (4 if c.post_norms else 2)  # the root mean squares
    if c.qk_norm:
        norms += 12 * (c.heads + c.kv_heads)
        norms += (8 if learning else 4) * (queries + keys)
    feed_forward = (4 if c.gated else 2) * c.feed_forward_width * w
    matrices = 7 if c.gated else 6
    adapter = 0 if load.lora is None else matrices * load.lora * w
    a_token = inputs + norms + _attention_bytes(config, load) + feed_forward + adapter
    copies = 0.0
    if load.cast:  # of the weights that learn, and of A and B, as autograd keeps them
        copies = 2.0 * layer_matrices(c) if learning else 2.0 * lora_parameters(c, load.lora or 0) / c.layers
    return a_token * load.tokens + copies


def _attention_bytes(config: Config, load: Workload) -> float:
    """What attention keeps per token: the keys, values and queries that it uses, and the heads' outputs."""
    queries, keys, w = config.heads * config.head_width, config.kv_heads * config.head_width, load.bits // 8
    if _by_products(load):
        return 2 * (2 * queries + 2 * keys) + 6 * config.heads * load.length  # the scores in fp32, the weights in 16 bits
    wide = 4 if load.on_cpu else w
    cast = w * queries if wide != w else 0
    mask = wide * load.length  # one for each layer
    return wide * (2 * queries + 2 * keys) + cast + 4 * config.heads + mask


def _by_products(load: Workload) -> bool:
    return load.on_cpu and load.cast and load.length <= SHORT


def _loss_bytes(config: Config, load: Workload) -> float:
    """Of a chunk of logits, next to the gradient of the final norm's output."""
    table, w = float(config.vocab_size * config.width), load.bits // 8
    chunk = float(config.vocab_size * _chunk(config, load, load.tokens))
    logits = 12 * chunk  # log-probabilities, their gradient, and that of the logits, in fp32
    if load.lora is not None:  # a copy of the head, if it is multiplied in another dtype
        loss = max(logits, w * (chunk + table) if load.base != w else 0.0)
    elif load.cast:  # the head's gradient summed up, its copy in 16 bits, and the gradient of a chunk in 16 bits and fp32
        loss = 4 * table + max(logits + 2 * table, 6 * table)
    else:
        loss = 4 * table + max(logits, 4 * table)
    return loss + 4.0 * config.width * load.tokens


def _backward_bytes(config: Config, load: Workload) -> float:
    """What the backward pass of a layer has more than the layer keeps: in the norm after the feed-forward, in the feed-forward,
    or in attention, when the feed-forward's results are gone."""
    c, w = config, load.bits // 8
    matrix = float(c.width * c.feed_forward_width)
    inner = float(w * c.feed_forward_width * load.tokens)
    # Behind the last matrix, its input and its 16-bit copy are gone. It has a gradient in fp32 if it learns, and is copied once
    # more if it is frozen in another dtype. Its input has a gradient, and behind a gated product, so have both factors.
    gradient = (4 - 2 * load.cast) * matrix if load.lora is None else 0.0
    copy = w * matrix if load.lora is not None and load.base != w else 0.0
    feed_forward = gradient + max(inner + copy, (2 if c.gated else 1) * inner)
    scores = 10.0 * c.heads * load.length * load.tokens if _by_products(load) else 0.0
    attention = scores - (4 if c.gated else 2) * inner - (4 + w) * c.width * load.tokens  # and the norm's input and output
    norm = 24.0 * c.width * load.tokens if c.post_norms else 0.0  # six tensors in fp32; of the other norms, when more is gone
    return 4 * c.width * load.tokens + max(feed_forward, attention, norm)


def _chunk(config: Config, load: Workload, tokens: int) -> int:
    """Tokens whose logits are there at once."""
    most = LOGITS_AT_ONCE * (1 if load.on_cpu else ON_A_GPU) // config.vocab_size
    return min(tokens, max(LEAST_TOKENS, most))


def _muon_bytes(config: Config, load: Workload) -> float:
    """Of the largest group of matrices of one shape: gradients side by side, scaled, and two steps of the iteration."""
    if not load.muon:
        return 0.0
    c, w = config, load.bits // 8
    if load.lora is not None:
        group = c.layers * 3 * load.lora * max(c.width, c.feed_forward_width)
        smaller = c.layers * 3 * load.lora**2
    else:
        group = c.layers * (2 if c.gated else 1) * c.width * c.feed_forward_width
        smaller = c.layers * (2 if c.gated else 1) * min(c.width, c.feed_forward_width) ** 2
    return 4.0 * group + max((4.0 + w) * group, 2.0 * w * (group + smaller))


def _validation_bytes(config: Config, load: Workload) -> float:
    """Without gradients: one layer's results, or a chunk of logits with a copy of the head, if it is multiplied in another
    dtype than its own."""
    tokens = max(load.length, VALIDATED_AT_ONCE // load.length * load.length)
    layer = 12.0 * (config.feed_forward_width + config.width) * tokens
    stored = 4 if load.lora is None else load.base
    wanted = load.validated_bits // 8
    copy = float(wanted * config.vocab_size * config.width) if wanted != stored else 0.0
    return max(layer, copy + 8.0 * config.vocab_size * _chunk(config, load, tokens) + 4.0 * config.width * tokens)
