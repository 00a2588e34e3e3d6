"""The decoder: from token ids to logits.

embedding → N × (norm → attention → residual → norm → feed-forward → residual) → norm → linear

Gemma 3 multiplies the embedding by a factor, and has another norm after attention and after feed-forward.

Legend of shape suffixes: B batch, T tokens, N = B · T, L tokens attended over, H query heads, K key/value heads, D width
(of the model; after H or K, of a head), F feed-forward width, V vocabulary. Only attention combines the tokens of a row. All
other layers process each token separately, as x_ND.

Sources: Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; Radford et al. 2019 (GPT-2); Touvron et al. 2023,
https://arxiv.org/abs/2302.13971 (Llama); Ainslie et al. 2023, https://arxiv.org/abs/2305.13245 (grouped queries);
Shazeer 2020, https://arxiv.org/abs/2002.05202 (gated feed-forward); Gemma Team 2025,
https://arxiv.org/abs/2503.19786 (Gemma 3).
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from liuli.errors import LiuliError
from liuli.model.attention import attend, attention_dtype
from liuli.model.cache import CacheRows
from liuli.model.config import Config
from liuli.model.linear import Embedding, Layer, LayerNorm, Linear, RMSNorm, add_rows, copy_row
from liuli.model.mask import AttentionMask, attention_mask
from liuli.model.rotary import Rotary, rotate

# A tap is a function tap(name, x) -> x. It is called at each point and returns x or a replacement of it. The points, in order,
# are "embedding", then in block i "blocks.i." + each of BLOCK_POINTS, then "final_norm". Shapes: (B, T, D), except q
# (B, T, H, D), k and v (B, T, K, D) as attention uses them, heads (B, T, H·D), and feed_forward_pre (B, T, F). "embedding",
# "attention_out" and "feed_forward_out" are the tensors that are added to the residual stream.
BLOCK_POINTS = (
    "residual_in", "attention_norm", "q", "k", "v", "heads", "attention_out",
    "residual_mid", "feed_forward_norm", "feed_forward_pre", "feed_forward_out",
)  # fmt: skip
Tap = Callable[[str, Tensor], Tensor]

ACTIVATIONS = {"silu": F.silu, "gelu": F.gelu, "gelu_tanh": partial(F.gelu, approximate="tanh"), "relu": F.relu}


class Decoder(Layer):
    """ids (B, T) int64 -> logits (B, T, V) in the weights' dtype.

    Attributes:
        recompute: whether to use activation checkpointing: a forward pass with gradients keeps only each layer's input, and the
            backward pass computes the layer again. The gradients are the same to the bit. Source: Chen et al. 2016,
            https://arxiv.org/abs/1604.06174.
    """

    def __init__(self, config: Config):
        super().__init__()
        self.config, self.recompute = config, False
        width, head_width, scale = config.width, config.head_width, config.embedding_scale
        self.embedding = Embedding(config.vocab_size, width)
        self.embedding_scale = None if scale is None else torch.tensor(scale, device="cpu")
        self.positions = None if config.rotary else Embedding(config.context, width)
        self.rotary = Rotary(head_width, config.rope_theta, config.rope_scaling) if config.rotary else None
        theta = config.sliding_rope_theta
        self.sliding_rotary = self.rotary if theta is None else Rotary(head_width, theta)
        self.windows = {config.window(layer) for layer in range(config.layers)}
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.norm = make_norm(config)
        self.head = Linear(width, config.vocab_size)
        if config.tied:
            self.head.tie(self.embedding)

    def forward(self, ids_BT: Tensor) -> Tensor:
        return self.logits(self.hidden(ids_BT))

    def logits(self, x: Tensor) -> Tensor:
        """Returns the logits (..., V) of x (..., D), the result of `hidden`."""
        return self.head(x)

    def hidden(
        self,
        ids_BT: Tensor,
        positions: Tensor | None = None,
        segments: Tensor | None = None,
        cache: CacheRows | None = None,
        tap: Tap | None = None,
    ) -> Tensor:
        """Returns the output of the final norm, (B, T, D).

        Args:
            positions: (B, T) int64. Default: 0…T−1, or with a cache, the positions after the cached tokens. They do not start
                from 0 in each segment; give positions that do if several documents are packed into a row.
            segments: (B, T) int64. A token attends only to itself and to earlier tokens of its own segment. This separates
                documents that are packed into one row, and padding. Not allowed together with `cache`.
            cache: the result of `KVCache.rows(...)`: the cached rows that these tokens extend.
            tap: a function that is called at the points listed above; see `BLOCK_POINTS`.
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
        if self.embedding_scale is not None:
            x_ND = x_ND * self.embedding_scale.to(x_ND.dtype)
        angles = sliding_angles = None
        if self.positions is not None:
            x_ND = (x_ND.view(*shape, -1) + self.positions(positions)).flatten(0, 1)
        elif self.rotary is not None:
            turned_in = attention_dtype(x_ND.is_cpu, shape[1], self.head.dtype, x_ND.dtype)
            angles = sliding_angles = self.rotary.angles(positions, turned_in)
            if self.sliding_rotary is not None and self.sliding_rotary is not self.rotary:
                sliding_angles = self.sliding_rotary.angles(positions, turned_in)
        x_ND = see("embedding", x_ND)

        length = shape[1] if cache is None else cache.length
        causal = (None, True) if segments is None else None
        unmasked = causal if cache is None else cache.plain
        masks = {window: attention_mask(index_BT, length, segments, window, unmasked) for window in self.windows}
        for block in self.blocks:
            assert isinstance(block, Block)
            turned_by = angles if block.window is None else sliding_angles
            given = x_ND, shape, turned_by, masks[block.window], cache, see
            again = self.recompute and torch.is_grad_enabled() and cache is None and tap is None
            x_ND = checkpoint(block, *given, use_reentrant=False) if again else block(*given)
        x_ND = see("final_norm", self.norm(x_ND))
        if cache is not None:
            cache.commit()
        return x_ND.view(*shape, -1)

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return next(self.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the residual stream, of `hidden`'s output, and of a cache for it."""
        return self.embedding.dtype

    def extend_vocabulary(self, vocab_size: int) -> None:
        """Adds rows to the embedding and the head until they have `vocab_size` rows; see `linear.add_rows`."""
        for table in self._tables():
            add_rows(table, vocab_size)
        if self.config.tied:
            self.head.tie(self.embedding)

    def copy_token(self, source: int, targets: Sequence[int]) -> None:
        """Copies the rows of the token `source`, in the embedding and the head, to tokens that were never trained."""
        for table in self._tables():
            copy_row(table, source, targets)

    def _tables(self) -> list[Embedding | Linear]:
        return [self.embedding] if self.config.tied else [self.embedding, self.head]

    def _check_context(self, tokens: int) -> None:
        if tokens > self.config.context:
            raise LiuliError(f"{tokens} tokens do not fit the model's context of {self.config.context}: give a shorter text")


class Block(Layer):
    """norm → attention → residual → norm → feed-forward → residual, x (N, D) -> (N, D); `shape` is (B, T). In families with
    `post_norms`, a norm follows attention and feed-forward."""

    def __init__(self, config: Config, layer: int):
        super().__init__()
        self.layer, self.window = layer, config.window(layer)
        self.attention_norm = make_norm(config)
        self.attention = Attention(config, layer)
        self.attention_post_norm = make_norm(config) if config.post_norms else None
        self.feed_forward_norm = make_norm(config)
        self.feed_forward = FeedForward(config)
        self.feed_forward_post_norm = make_norm(config) if config.post_norms else None

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
        out_ND = self.attention(see("attention_norm", self.attention_norm(x_ND)), shape, angles, mask, cache, see)
        if self.attention_post_norm is not None:
            out_ND = self.attention_post_norm(out_ND)
        x_ND = see("residual_mid", x_ND + see("attention_out", out_ND))
        out_ND = self.feed_forward(see("feed_forward_norm", self.feed_forward_norm(x_ND)), see)
        if self.feed_forward_post_norm is not None:
            out_ND = self.feed_forward_post_norm(out_ND)
        return x_ND + see("feed_forward_out", out_ND)

    __call__ = forward  # without nn.Module's hooks; code that needs them (FSDP) sets Block.__call__ = nn.Module.__call__


class Attention(Layer):
    """softmax(s q kᵀ + mask) v for every head. Each key/value head is shared by H/K query heads."""

    def __init__(self, config: Config, layer: int):
        super().__init__()
        self.layer, self.head_width, self.inner = layer, config.head_width, config.heads * config.head_width
        self.sizes = config.heads, config.kv_heads
        self.shared = config.heads != config.kv_heads
        self.scale = config.score_scale
        self.q = Linear(config.width, config.heads * config.head_width, config.qkv_bias)
        self.k = Linear(config.width, config.kv_heads * config.head_width, config.qkv_bias)
        self.v = Linear(config.width, config.kv_heads * config.head_width, config.qkv_bias)
        self.out = Linear(config.heads * config.head_width, config.width, config.output_bias)
        self.q_norm = make_norm(config, config.head_width) if config.qk_norm else None
        self.k_norm = make_norm(config, config.head_width) if config.qk_norm else None

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
            x_ND = x_ND.to(self.q.dtype)  # converted once for q, k and v
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
        heads_BHTD = attend(q_BTHD.transpose(1, 2), k_BKLD, v_BKLD, mask, self.shared, self.scale)
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
            x_ND = x_ND.to(self.up.dtype)  # converted once for gate and up
        return self.down(self.activation(see("feed_forward_pre", self.gate(x_ND))) * self.up(x_ND))

    __call__ = forward


def make_norm(config: Config, width: int | None = None) -> RMSNorm | LayerNorm:
    """Returns an RMSNorm or a LayerNorm, whichever the family has. `width`: default is the model's width."""
    width = config.width if width is None else width
    if config.rms_norm:
        return RMSNorm(width, config.norm_epsilon, config.norms_from_one)
    return LayerNorm(width, config.norm_epsilon)


def _unchanged(point: str, x: Tensor) -> Tensor:
    return x


def _by_rows(tap: Tap, shape: torch.Size) -> Tap:
    """Returns a tap for tensors of shape (N, …), which passes them to the given tap as (B, T, …)."""
    return lambda point, x: tap(point, x.view(*shape, -1)).flatten(0, 1) if x.ndim == 2 else tap(point, x)
