"""A small world in Chinese and English: text whose exact probability is known."""

from liuli.lazy import modules_of
from liuli.world.by_tokens import TokenBranch, TokenFloor, floor_per_token, token_branch
from liuli.world.comparison import Comparison, compare, shares_at, token_scorer
from liuli.world.world import END, Branch, World

__getattr__ = modules_of(__name__)
__all__ = [
    "END",
    "Branch",
    "Comparison",
    "TokenBranch",
    "TokenFloor",
    "World",
    "compare",
    "floor_per_token",
    "shares_at",
    "token_branch",
    "token_scorer",
]
