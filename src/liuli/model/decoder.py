"""The decoder: ids to logits, top to bottom.

embedding → N × (norm → attention → residual → norm → feed-forward → residual) → norm → linear

Legend of shape suffixes: B batch, T tokens, N = B · T, L tokens attended over, H query heads, K key/value heads, D width
(of the model, or of a head where H or K stands before it), F feed-forward width, V vocabulary. Only attention knows of
rows: all else looks at one token at a time, and sees x_ND.

Sources: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; Radford et al. 2019 (GPT-2); Touvron et al. 2023,
https://arxiv.org/abs/2302.13971 (Llama); Ainslie et al. 2023, https://arxiv.org/abs/2305.13245 (grouped queries);
Shazeer 2020, https://arxiv.org/abs/2002.05202 (gated feed-forward).
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from liuli.errors import LiuliError
from liuli.model.attention import attend, attention_dtype
from liuli.model.cache import CacheRows
from liuli.model.config import Config
from liuli.model.linear import Embedding, Layer, LayerNorm, Linear, RMSNorm, add_rows, copy_row
from liuli.model.mask import AttentionMask, attention_mask
from liuli.model.rotary import Rotary, rotate

# A tap is called as tap(name, x) -> x and may look or replace. Its points, in order, are "embedding", then in block i
# "blocks.i." + each of BLOCK_POINTS, then "final_norm". Shapes: (B, T, D), but q (B, T, H, D), k and v (B, T, K, D)
# as attention uses them, heads (B, T, H·D), feed_forward_pre (B, T, F).
BLOCK_POINTS = (
    "residual_in", "attention_norm", "q", "k", "v", "heads", "attention_out",
    "residual_mid", "feed_forward_norm", "feed_forward_pre", "feed_forward_out",
)  # fmt: skip
Tap = Callable[[str, Tensor], Tensor]

ACTIVATIONS = {"silu": F.silu, "gelu": F.gelu, "gelu_tanh": partial(F.gelu, approximate="tanh"), "relu": F.relu}


class Decoder(Layer):
    """ids (B, T) int64 -> logits (B, T, V) in the weights' dtype."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        norm = RMSNorm if config.rms_norm else LayerNorm
        self.embedding = Embedding(config.vocab_size, config.width)
        self.positions = None if config.rotary else Embedding(config.context, config.width)
        self.rotary = Rotary(config) if config.rotary else None
        self.windows = {config.window(layer) for layer in range(config.layers)}
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.norm = norm(config.width, config.norm_epsilon)
        self.head = Linear(config.width, config.vocab_size)
        if config.tied:
            self.head.tie(self.embedding)

    def forward(self, ids_BT: Tensor) -> Tensor:
        return self.logits(self.hidden(ids_BT))

    def logits(self, x: Tensor) -> Tensor:
        """x (..., D), as `hidden` returns it, -> (..., V)."""
        return self.head(x)

    def hidden(
        self,
        ids_BT: Tensor,
        positions: Tensor | None = None,
        segments: Tensor | None = None,
        cache: CacheRows | None = None,
        tap: Tap | None = None,
    ) -> Tensor:
        """The final norm's output, (B, T, D).

        Args:
            positions: (B, T) int64; by default 0…T−1, after what the cache holds. They do not begin anew with a segment
                by themselves: packed documents bring theirs.
            segments: (B, T) int64; a token attends only to those of its own segment, itself and before. Packed
                documents and padding are kept apart so. Not together with `cache`.
            cache: the rows of `KVCache.rows(...)` that these tokens extend.
            tap: sees, and may replace, what stands at the points listed above.
        """
        if cache is not None and segments is not None:
            raise ValueError("segments and a cache cannot be given together")
        shape = ids_BT.shape
        index_BT = torch.arange(shape[1], device=ids_BT.device)[None] if cache is None else cache.index_BT
        if self.positions is not None and cache is None:
            self._check_context(shape[1] if positions is None else int(positions.max()) + 1)
        positions = index_BT if positions is None else positions
        see = _unchanged if tap is None else _by_rows(tap, shape)

        x_ND = self.embedding(ids_BT.flatten())
        angles = None
        if self.positions is not None:
            x_ND = (x_ND.view(*shape, -1) + self.positions(positions)).flatten(0, 1)
        elif self.rotary is not None:
            turned_in = attention_dtype(x_ND.is_cpu, shape[1], self.head.dtype, x_ND.dtype)
            angles = self.rotary.angles(positions, turned_in)
        x_ND = see("embedding", x_ND)

        length = shape[1] if cache is None else cache.length
        causal = (None, True) if segments is None else None
        unmasked = causal if cache is None else cache.plain
        masks = {window: attention_mask(index_BT, length, segments, window, unmasked) for window in self.windows}
        for block in self.blocks:
            assert isinstance(block, Block)
            x_ND = block(x_ND, shape, angles, masks[block.window], cache, see)
        x_ND = see("final_norm", self.norm(x_ND))
        if cache is not None:
            cache.commit()
        return x_ND.view(*shape, -1)

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the residual stream, of `hidden`'s output, and of a cache for it."""
        return self.embedding.dtype

    def extend_vocabulary(self, vocab_size: int) -> None:
        """Adds rows to the embedding and the head until there are `vocab_size`, if there are fewer; see `linear.add_rows`."""
        for table in self._tables():
            add_rows(table, vocab_size)
        if self.config.tied:
            self.head.tie(self.embedding)

    def copy_token(self, source: int, targets: Sequence[int]) -> None:
        """Gives tokens that were never trained the embedding's and the head's rows of a token that was."""
        for table in self._tables():
            copy_row(table, source, targets)

    def _tables(self) -> list[Embedding | Linear]:
        return [self.embedding] if self.config.tied else [self.embedding, self.head]

    def _check_context(self, tokens: int) -> None:
        if tokens > self.config.context:
            raise LiuliError(f"{tokens} tokens do not fit the model's context of {self.config.context}")


class Block(Layer):
    """norm → attention → residual → norm → feed-forward → residual, x (N, D) -> (N, D); `shape` is (B, T)."""

    def __init__(self, config: Config, layer: int):
        super().__init__()
        norm = RMSNorm if config.rms_norm else LayerNorm
        self.layer, self.window = layer, config.window(layer)
        self.attention_norm = norm(config.width, config.norm_epsilon)
        self.attention = Attention(config, layer)
        self.feed_forward_norm = norm(config.width, config.norm_epsilon)
        self.feed_forward = FeedForward(config)

    def forward(
        self,
        x_ND: Tensor,
        shape: torch.Size,
        angles: tuple[Tensor, Tensor] | None,
        mask: AttentionMask,
        cache: CacheRows | None,
        tap: Tap,
    ) -> Tensor:
        see = tap if tap is _unchanged else lambda point, x: tap(f"blocks.{self.layer}.{point}", x)
        x_ND = see("residual_in", x_ND)
        n_ND = see("attention_norm", self.attention_norm(x_ND))
        x_ND = x_ND + see("attention_out", self.attention(n_ND, shape, angles, mask, cache, see))
        x_ND = see("residual_mid", x_ND)
        n_ND = see("feed_forward_norm", self.feed_forward_norm(x_ND))
        return x_ND + see("feed_forward_out", self.feed_forward(n_ND, see))

    __call__ = forward  # without nn.Module's hooks; code that needs them (FSDP) sets Block.__call__ = nn.Module.__call__


class Attention(Layer):
    """softmax(q kᵀ / √D + mask) v for every head, where H/K query heads share one key/value head."""

    def __init__(self, config: Config, layer: int):
        super().__init__()
        self.layer, self.head_width, self.inner = layer, config.head_width, config.heads * config.head_width
        self.sizes = config.heads, config.kv_heads
        self.shared = config.heads != config.kv_heads
        self.q = Linear(config.width, config.heads * config.head_width, config.qkv_bias)
        self.k = Linear(config.width, config.kv_heads * config.head_width, config.qkv_bias)
        self.v = Linear(config.width, config.kv_heads * config.head_width, config.qkv_bias)
        self.out = Linear(config.heads * config.head_width, config.width, config.output_bias)
        self.q_norm = RMSNorm(config.head_width, config.norm_epsilon) if config.qk_norm else None
        self.k_norm = RMSNorm(config.head_width, config.norm_epsilon) if config.qk_norm else None

    def forward(
        self,
        x_ND: Tensor,
        shape: torch.Size,
        angles: tuple[Tensor, Tensor] | None,
        mask: AttentionMask,
        cache: CacheRows | None,
        see: Tap,
    ) -> Tensor:
        if torch.is_grad_enabled():
            x_ND = x_ND.to(self.q.dtype)  # once for the three
        by_heads = (*shape, -1, self.head_width)
        q_BTHD, k_BTKD, v_BTKD = self.q(x_ND).view(by_heads), self.k(x_ND).view(by_heads), self.v(x_ND).view(by_heads)
        if self.q_norm is not None and self.k_norm is not None:
            q_BTHD, k_BTKD = self.q_norm(q_BTHD), self.k_norm(k_BTKD)
        if angles is not None:
            turned = rotate(torch.cat((q_BTHD, k_BTKD), 2), *angles)
            q_BTHD, k_BTKD = torch.split_with_sizes(turned, self.sizes, 2)
            if v_BTKD.dtype != q_BTHD.dtype:
                v_BTKD = v_BTKD.to(q_BTHD.dtype)
        q_BTHD, k_BTKD, v_BTKD = see("q", q_BTHD), see("k", k_BTKD), see("v", v_BTKD)

        if cache is None:
            k_BKLD, v_BKLD = k_BTKD.transpose(1, 2), v_BTKD.transpose(1, 2)
        else:
            k_BKLD, v_BKLD = cache.extend(self.layer, k_BTKD, v_BTKD)
        heads_BHTD = attend(q_BTHD.transpose(1, 2), k_BKLD, v_BKLD, mask, self.shared)
        return self.out(see("heads", heads_BHTD.transpose(1, 2).reshape(-1, self.inner)))

    __call__ = forward


class FeedForward(Layer):
    """down(f(up x)), or gated: down(f(gate x) · up x)."""

    def __init__(self, config: Config):
        super().__init__()
        width, inner, bias = config.width, config.feed_forward_width, config.feed_forward_bias
        self.activation = ACTIVATIONS[config.activation]
        self.gate = Linear(width, inner, bias) if config.gated else None
        self.up = Linear(width, inner, bias)
        self.down = Linear(inner, width, bias)

    def forward(self, x_ND: Tensor, see: Tap) -> Tensor:
        if self.gate is None:
            return self.down(self.activation(see("feed_forward_pre", self.up(x_ND))))
        if torch.is_grad_enabled():
            x_ND = x_ND.to(self.up.dtype)  # once for both
        return self.down(self.activation(see("feed_forward_pre", self.gate(x_ND))) * self.up(x_ND))

    __call__ = forward


def _unchanged(point: str, x: Tensor) -> Tensor:
    return x


def _by_rows(tap: Tap, shape: torch.Size) -> Tap:
    """The tap, given tokens in their rows: (B, T, …) for what is (N, …) inside."""
    return lambda point, x: tap(point, x.view(*shape, -1)).flatten(0, 1) if x.ndim == 2 else tap(point, x)
