"""Estimates the peak memory of a training run from formulas, without weights and without PyTorch.

In: a `Config` and a `Workload`. Out: a `TrainingMemory`. The formulas describe the tensors that autograd keeps for the code in
`decoder.py`, `linear.py`, `attention.py` and `logprobs.py`; tests compare them with the tensors that it really keeps. All
results are in bytes. "Kept" means: kept from the forward pass for the backward pass.

Symbols: D width, H query heads, K key/value heads, d head width, F feed-forward width, V vocabulary, T tokens per row.
Source of the idea: Korthikanti et al. 2022, https://arxiv.org/abs/2205.05198.
"""

from dataclasses import dataclass

from liuli.fields import Record
from liuli.model.config import Config
from liuli.model.plan import layer_matrices, parameter_parts

# Measured (docs/benchmarks.md): the memory of Python with PyTorch; and that of the tokenizer and the encoded data, per token of
# the vocabulary.
PROGRAM, PER_TOKEN_OF_VOCABULARY = 250e6, 1500
# Because of fragmentation, the C library does not return all freed memory to the system. It keeps this fraction of the memory
# of a step or a validation, and in addition the size of the largest tensor, the head's matrix in fp32 (docs/benchmarks.md).
HEAP = 0.3
SHORT = 512  # tokens per row, up to which 16-bit attention on a CPU keeps its scores (`attention.SHORT`)
LOGITS_AT_ONCE, LEAST_TOKENS, ON_A_GPU = 1 << 22, 128, 8  # as in `logprobs.py`
VALIDATED_AT_ONCE = 1024  # tokens, as in `evaluate/loss.py`


@dataclass(frozen=True, slots=True)
class Workload:
    """The settings of a training run that determine its memory.

    Attributes:
        length: tokens per row.
        rows: rows per step.
        rows_at_once: rows per forward pass.
        bits: the bits of matrix multiplications, 32 or 16.
        muon: whether Muon trains the matrices and AdamW the other parameters; else AdamW trains all.
        lora: the rank of a LoRA adapter on a frozen base model; None: all weights are trained.
        base: the bytes per number of that base model, 4 or 2.
        validated_bits: the bits of matrix multiplications in validation.
        recompute: whether only each layer's input is kept, and the rest is computed again in the backward pass.
        on_cpu: whether the run is on the CPU; the program itself is then part of the memory.
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
        """Tokens per forward pass."""
        return min(self.rows, self.rows_at_once) * self.length

    @property
    def cast(self) -> bool:
        """Whether fp32 weights are converted for 16-bit matrix multiplications."""
        return self.bits == 16


@dataclass(frozen=True, slots=True)
class TrainingMemory(Record):
    """The peak memory of a run, in bytes: the parts at the moment when their sum is largest.

    Attributes:
        program: Python, PyTorch, the tokenizer and the data.
        weights: the model and the adapter.
        optimizer: the optimizer's state, and the mean of the last weights.
        gradients: the gradients of all trained parameters.
        activations: tensors that are kept for the backward pass, including 16-bit copies of weights.
        working: logits and their gradients, and other temporary tensors.
        heap: freed memory that the C library has not returned to the system.
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
    """Returns the peak memory of a run. It can be reached in the loss, in the backward pass of the last layer, of the first
    layer or of the embedding, in the optimizer, or in validation."""
    c = config
    parameters = sum(parameter_parts(c).values())
    learned = parameters if load.lora is None else lora_parameters(c, load.lora)
    matrices = learned if load.lora is not None else c.layers * layer_matrices(c)
    states = 8 * learned - 4 * matrices * load.muon  # two moments of AdamW, one of Muon
    gradients = 4.0 * learned
    waiting = gradients if load.rows > load.rows_at_once else 0.0  # the sum over the earlier rows of the step
    table = 4.0 * c.vocab_size * c.width if load.lora is None else 0.0  # the gradient of the head, and of the embedding
    in_first = gradients - 4.0 * matrices / c.layers - (0.0 if c.tied else table)  # the embedding's comes last
    added = table if c.tied or waiting else 0.0  # the embedding's new gradient, before it is added to the existing one
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
    """Returns all memory that is kept for the backward pass."""
    numbers = 12 if load.lora is None and config.rms_norm else 8  # the final norm: its input, output, and the normed input
    return numbers * config.width * load.tokens + _saved_by_layers(config, load)


def _saved_by_layers(config: Config, load: Workload) -> float:
    """Returns the part of `saved_bytes` that the layers keep. With recomputation this is only their inputs."""
    return config.layers * (4.0 * config.width * load.tokens if load.recompute else _layer_bytes(config, load))


def _saved_in_last_layer(config: Config, load: Workload) -> float:
    """Returns the part of `saved_bytes` that remains after the backward pass of the final norm. With recomputation it includes
    the results of the last layer, which were computed again."""
    again = _layer_bytes(config, load) - 4.0 * config.width * load.tokens if load.recompute else 0.0
    return _saved_by_layers(config, load) + again


def lora_parameters(config: Config, rank: int) -> int:
    """Returns the number of parameters of a LoRA adapter at all projections. GPT-2's q, k and v share one A."""
    c = config
    queries, keys, inner = c.heads * c.head_width, c.kv_heads * c.head_width, c.feed_forward_width
    attention = (3 if c.rotary else 1) * c.width + queries + 2 * keys + queries + c.width
    feed_forward = (3 if c.gated else 2) * (c.width + inner)
    return c.layers * rank * (attention + feed_forward)


def _layer_bytes(config: Config, load: Workload) -> float:
    """Returns the memory that one layer keeps for the backward pass."""
    c, w, learning = config, load.bits // 8, load.lora is None
    queries, keys = c.heads * c.head_width, c.kv_heads * c.head_width
    inputs = 8 * c.width  # both residuals, fp32
    norms = 2 * w * c.width + 8 * c.width * (learning and c.rms_norm)  # outputs; a trained weight needs the normed input too
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
    if load.cast:  # 16-bit copies of the trained weights, or of A and B, which autograd keeps
        copies = 2.0 * layer_matrices(c) if learning else 2.0 * lora_parameters(c, load.lora or 0) / c.layers
    return a_token * load.tokens + copies


def _attention_bytes(config: Config, load: Workload) -> float:
    """Returns the memory that attention keeps per token: queries, keys, values, and the heads' outputs."""
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
    """Returns the memory of one chunk of logits and of the gradient of the final norm's output."""
    table, w = float(config.vocab_size * config.width), load.bits // 8
    chunk = float(config.vocab_size * _chunk(config, load, load.tokens))
    logits = 12 * chunk  # log-probabilities, their gradient, and the gradient of the logits, in fp32
    if load.lora is not None:  # a copy of the head, if matrix multiplications have another dtype
        loss = max(logits, w * (chunk + table) if load.base != w else 0.0)
    elif load.cast:  # the sum of the head's gradients, its 16-bit copy, and the gradient of a chunk in 16 bits and fp32
        loss = 4 * table + max(logits + 2 * table, 6 * table)
    else:
        loss = 4 * table + max(logits, 4 * table)
    return loss + 4.0 * config.width * load.tokens


def _backward_bytes(config: Config, load: Workload) -> float:
    """Returns the temporary memory of a layer's backward pass, in addition to the kept tensors. Its peak is in the norm after
    the feed-forward, in the feed-forward, or in attention, when the results of the feed-forward have been freed."""
    c, w = config, load.bits // 8
    matrix = float(c.width * c.feed_forward_width)
    inner = float(w * c.feed_forward_width * load.tokens)
    # After the backward pass of the last matrix, its input and its 16-bit copy are freed. There is an fp32 gradient of the
    # matrix if it is trained, or one more copy of it if it is frozen in another dtype. Its input has a gradient; if the
    # feed-forward is gated, both factors of this input have one.
    gradient = (4 - 2 * load.cast) * matrix if load.lora is None else 0.0
    copy = w * matrix if load.lora is not None and load.base != w else 0.0
    feed_forward = gradient + max(inner + copy, (2 if c.gated else 1) * inner)
    scores = 10.0 * c.heads * load.length * load.tokens if _by_products(load) else 0.0
    attention = scores - (4 if c.gated else 2) * inner - (4 + w) * c.width * load.tokens  # and the norm's input and output
    norm = 24.0 * c.width * load.tokens if c.post_norms else 0.0  # six fp32 tensors; for the other norms, more has been freed
    return 4 * c.width * load.tokens + max(feed_forward, attention, norm)


def _chunk(config: Config, load: Workload, tokens: int) -> int:
    """Returns the number of tokens whose logits exist at the same time."""
    most = LOGITS_AT_ONCE * (1 if load.on_cpu else ON_A_GPU) // config.vocab_size
    return min(tokens, max(LEAST_TOKENS, most))


def _muon_bytes(config: Config, load: Workload) -> float:
    """Returns Muon's memory for the largest group of matrices of the same shape: their gradients in one tensor, the scaled
    gradients, and two steps of the iteration."""
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
    """Returns the temporary memory of validation, without gradients: the results of one layer, or a chunk of logits, with a
    copy of the head if matrix multiplications have another dtype."""
    tokens = max(load.length, VALIDATED_AT_ONCE // load.length * load.length)
    layer = 12.0 * (config.feed_forward_width + config.width) * tokens
    stored = 4 if load.lora is None else load.base
    wanted = load.validated_bits // 8
    copy = float(wanted * config.vocab_size * config.width) if wanted != stored else 0.0
    return max(layer, copy + 8.0 * config.vocab_size * _chunk(config, load, tokens) + 4.0 * config.width * tokens)
