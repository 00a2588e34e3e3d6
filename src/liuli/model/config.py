"""The shape of a decoder: one dataclass for all families, and the named presets.

All families share the same computation. They differ only as this table shows ("window" is sliding-window attention):

| family | norm | positions | query/key/value bias | feed-forward | window |
|---|---|---|---|---|---|
| GPT-2, GPT-3 | layer norm | learned | yes, and in every other projection | GELU (tanh) | none |
| Llama 2, 3 | RMS norm | rotary | no | gated SiLU | none |
| Mistral | RMS norm | rotary | no | gated SiLU | optional |
| Qwen 2, 2.5 | RMS norm | rotary | yes | gated SiLU | optional, in some layers |
| Qwen 3 | RMS norm | rotary | no, but queries and keys are normed | gated SiLU | optional, in some layers |
| Gemma 3 | RMS norm | rotary, two bases | no, but queries and keys are normed | gated GELU (tanh) | in most layers |

Gemma 3 also has a norm after attention and after feed-forward, multiplies its embeddings by √width, stores each weight w of its
norms as w − 1, and has a separate rotary base in layers with a window.
"""

from dataclasses import dataclass
from typing import Any, Literal

from liuli.errors import LiuliError
from liuli.fields import check, is_positive, is_size

Family = Literal["gpt2", "llama", "mistral", "qwen2", "qwen3", "gemma3_text"]
Activation = Literal["silu", "gelu", "gelu_tanh", "relu"]

# Sizes are often read from files of unknown origin. No real model comes near these limits. A larger size is refused before
# memory of that size is allocated.
LARGEST_SIZE = 2**30
LARGEST = {
    "vocab_size": LARGEST_SIZE, "width": LARGEST_SIZE, "layers": 10_000, "heads": LARGEST_SIZE, "kv_heads": LARGEST_SIZE,
    "head_width": 2**16, "feed_forward_width": LARGEST_SIZE, "context": LARGEST_SIZE,
}  # fmt: skip
EPSILONS = 1e-30, 1.0  # the square roots and inverses of these are finite in fp32
THETAS = 1.0, 1e15
SCALINGS = 1e-9, 1e12  # the range of every number of a rotary scaling


@dataclass(frozen=True, slots=True)
class RotaryScaling:
    """How rotary positions are scaled, so that a model can read longer texts than it was trained on: "linear" (kaiokendev
    2023), "llama3" (Llama 3.1) or "yarn" (Peng et al. 2023, https://arxiv.org/abs/2309.00071). `original` is the context
    before scaling, in tokens."""

    kind: Literal["linear", "llama3", "yarn"]
    factor: float
    original: int
    low_frequency: float = 1.0  # llama3: wavelengths above original / low_frequency are scaled fully,
    high_frequency: float = 4.0  # llama3: those below original / high_frequency not at all, those in between partly
    beta_fast: float = 32.0  # yarn: dimensions that make more turns than this within `original` are not scaled,
    beta_slow: float = 1.0  # yarn: those that make fewer turns than this are scaled fully, those in between partly
    truncate: bool = True  # yarn: the bounds between these three groups are rounded outward to whole dimensions
    attention_factor: float = 1.0  # yarn: the factor of cosine and sine

    def __post_init__(self) -> None:
        names = "factor original low_frequency high_frequency beta_fast beta_slow attention_factor"
        check(self, names, is_positive, "a number above 0", "a rotary scaling's ")
        low, high = SCALINGS
        check(self, names, lambda value: low <= value <= high, f"between {low:g} and {high:g}", "a rotary scaling's ")
        check(self, "truncate", _is_switch, "true or false", "a rotary scaling's ")
        if self.low_frequency >= self.high_frequency:
            low, high = self.low_frequency, self.high_frequency
            raise LiuliError(f"a rotary scaling's low_frequency {low} must be below its high_frequency {high}")


@dataclass(frozen=True, slots=True)
class Config:
    """A decoder's shape. Widths are in numbers per token, `context` in tokens.

    Attributes:
        windows: for each layer, the number of tokens that attention sees, including the current one; None: all tokens. An
            empty tuple means None in all layers.
        sliding_rope_theta: the rotary base of layers with a window; such layers have no scaling then. None: these layers
            have `rope_theta` and the scaling, like all others.
        query_pre_attn_scalar: attention scores are divided by its square root; None: by √`head_width`.
    """

    family: Family
    vocab_size: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_width: int
    feed_forward_width: int
    context: int
    activation: Activation = "silu"
    norm_epsilon: float = 1e-5
    rope_theta: float = 10_000.0
    rope_scaling: RotaryScaling | None = None
    qkv_bias: bool = False
    output_bias: bool = False
    feed_forward_bias: bool = False
    tied: bool = False
    windows: tuple[int | None, ...] = ()
    sliding_rope_theta: float | None = None
    query_pre_attn_scalar: float | None = None

    def __post_init__(self) -> None:
        sizes = "vocab_size width layers heads kv_heads head_width feed_forward_width context"
        check(self, sizes, is_size, "a whole number above 0", "a model's ")
        for name, most in LARGEST.items():
            if getattr(self, name) > most:
                raise LiuliError(f"a model's {name} must be at most {most:,}, not {getattr(self, name):,}")
        check(self, "norm_epsilon rope_theta", is_positive, "a number above 0", "a model's ")
        low, high = EPSILONS
        check(self, "norm_epsilon", lambda value: low <= value <= high, f"between {low:g} and {high:g}", "a model's ")
        low, high = THETAS
        if self.rotary:
            thetas = "rope_theta" if self.sliding_rope_theta is None else "rope_theta sliding_rope_theta"
            check(self, thetas, is_positive, "a number above 0", "a model's ")
            check(self, thetas, lambda theta: low < theta <= high, f"above {low:g}, at most {high:g}", "a model's ")
        if self.query_pre_attn_scalar is not None:
            check(self, "query_pre_attn_scalar", is_positive, "a number above 0", "a model's ")
        check(self, "qkv_bias output_bias feed_forward_bias tied", _is_switch, "true or false", "a model's ")
        for window in self.windows:
            if window is not None and not (is_size(window) and window <= LARGEST_SIZE):
                raise LiuliError(f"a model's window must be a whole number from 1 to {LARGEST_SIZE:,}, not {window!r}")
        if self.heads % self.kv_heads:
            raise LiuliError(
                f"the number of attention heads, {self.heads}, must be a multiple of the number of key/value heads, "
                f"{self.kv_heads}"
            )
        if self.rotary and self.head_width % 2:
            raise LiuliError(f"rotary position embeddings need an even head width, not {self.head_width}")
        if self.windows and len(self.windows) != self.layers:
            raise LiuliError(f"a model's windows must have {self.layers:,} entries, one per layer, not {len(self.windows):,}")

    @property
    def rotary(self) -> bool:
        return self.family != "gpt2"

    @property
    def rms_norm(self) -> bool:
        return self.family != "gpt2"

    @property
    def gated(self) -> bool:
        return self.family != "gpt2"

    @property
    def qk_norm(self) -> bool:
        return self.family in ("qwen3", "gemma3_text")

    @property
    def post_norms(self) -> bool:
        """Whether the outputs of attention and feed-forward are normalised before they are added to the residual stream."""
        return self.family == "gemma3_text"

    @property
    def norms_from_one(self) -> bool:
        """Whether each weight w of a norm is stored as w − 1."""
        return self.family == "gemma3_text"

    @property
    def embedding_scale(self) -> float | None:
        """The factor of the embeddings; None: 1."""
        return self.width**0.5 if self.family == "gemma3_text" else None

    @property
    def score_scale(self) -> float:
        """The factor of the attention scores q kᵀ."""
        return (self.query_pre_attn_scalar or self.head_width) ** -0.5

    def window(self, layer: int) -> int | None:
        return self.windows[layer] if self.windows else None


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


def _preset(family: Family, layers: int, width: int, heads: int, kv_heads: int, feed_forward: int, **rest: Any) -> Config:
    rest.setdefault("head_width", width // heads)
    return Config(family, width=width, layers=layers, heads=heads, kv_heads=kv_heads, feed_forward_width=feed_forward, **rest)


def _gpt(layers: int, width: int, heads: int, context: int = 1024) -> Config:
    """The shape of GPT-2 and GPT-3. GPT-3's alternating sparse attention is not modelled; it has the same parameters."""
    biases: dict[str, Any] = {"qkv_bias": True, "output_bias": True, "feed_forward_bias": True}
    rest: dict[str, Any] = {"vocab_size": 50_257, "context": context, "activation": "gelu_tanh", "tied": True} | biases
    return _preset("gpt2", layers, width, heads, heads, 4 * width, **rest)


_OWN: dict[str, Any] = {"vocab_size": 6_400, "context": 2048, "tied": True, "norm_epsilon": 1e-6, "rope_theta": 1e6}
_LLAMA3: dict[str, Any] = {"vocab_size": 128_256, "context": 8192, "rope_theta": 5e5}
_LLAMA32: dict[str, Any] = _LLAMA3 | {"context": 131_072, "tied": True, "rope_scaling": RotaryScaling("llama3", 32.0, 8192)}
_QWEN25: dict[str, Any] = _OWN | {"vocab_size": 151_936, "context": 32_768, "qkv_bias": True}

PRESETS: dict[str, Config] = {
    # the sizes that Liuli trains
    "nano": _preset("qwen3", 4, 128, 2, 1, 256, **_OWN | {"vocab_size": 3_000, "context": 512}),
    "micro": _preset("qwen3", 6, 256, 8, 2, 576, **_OWN | {"context": 1024}),
    "mini": _preset("qwen3", 8, 384, 8, 2, 960, **_OWN | {"context": 1024}),
    "small": _preset("qwen3", 8, 512, 8, 2, 1408, **_OWN),
    "base": _preset("qwen3", 12, 768, 12, 4, 2944, **_OWN | {"vocab_size": 32_000}),
    # published models
    "gpt2": _gpt(12, 768, 12),
    "gpt2-medium": _gpt(24, 1024, 16),
    "gpt2-large": _gpt(36, 1280, 20),
    "gpt2-xl": _gpt(48, 1600, 25),
    "gpt3-175b": _gpt(96, 12_288, 96, context=2048),
    "llama2-7b": _preset("llama", 32, 4096, 32, 32, 11_008, vocab_size=32_000, context=4096),
    "llama3-8b": _preset("llama", 32, 4096, 32, 8, 14_336, **_LLAMA3),
    "llama3-70b": _preset("llama", 80, 8192, 64, 8, 28_672, **_LLAMA3),
    "llama3.2-1b": _preset("llama", 16, 2048, 32, 8, 8192, **_LLAMA32),
    "mistral-7b": _preset("mistral", 32, 4096, 32, 8, 14_336, vocab_size=32_000, context=32_768, windows=(4096,) * 32),
    "qwen2.5-0.5b": _preset("qwen2", 24, 896, 14, 2, 4864, **_QWEN25),
    "qwen3-0.6b": _preset(
        "qwen3", 28, 1024, 16, 8, 3072, **_OWN | {"vocab_size": 151_936, "context": 40_960, "head_width": 128}
    ),
    "gemma3-270m": _preset(
        "gemma3_text",
        18,
        640,
        4,
        1,
        2048,
        **_OWN | {"vocab_size": 262_144, "context": 32_768, "head_width": 256},
        activation="gelu_tanh",
        windows=((512,) * 5 + (None,)) * 3,
        sliding_rope_theta=1e4,
        query_pre_attn_scalar=256,
    ),
}

# The number of tokens that the published models were trained on, from their papers and model cards.
TRAINED_ON = {
    "gpt3-175b": 300e9, "llama2-7b": 2e12, "llama3-8b": 15e12, "llama3-70b": 15e12, "llama3.2-1b": 9e12,
    "qwen2.5-0.5b": 18e12, "qwen3-0.6b": 36e12, "gemma3-270m": 6e12,
}  # fmt: skip
