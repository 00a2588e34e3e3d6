"""Reads PEFT's `adapter_config.json`: which modules an adapter changes, and its settings at each of them.

Modules have Hugging Face's names in this file. A setting that is not supported, but would change what the adapter computes, is
refused by name. Source: https://github.com/huggingface/peft, `LoraConfig` and `tuners/tuners_utils.py`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from liuli.errors import LiuliError
from liuli.files import read_json
from liuli.model.adapters.lora import LoRASettings
from liuli.model.formats.weight_files import quoted, shown

CONFIG = "adapter_config.json"
TOKENS = "trainable_token_indices"
SETTINGS = {"r": None, "lora_alpha": None, "lora_dropout": 0.0}  # and their defaults; None: required
PATTERNS = ("rank_pattern", "alpha_pattern")
NAMES = ("target_modules", "exclude_modules", "layers_pattern", "modules_to_save")
ALL_LINEAR = "all-linear"
READ = (*SETTINGS, *PATTERNS, *NAMES, TOKENS, "layers_to_transform", "use_rslora", "ensure_weight_tying")
ONLY = {  # the supported values of these settings; with other values an adapter is not LoRA, or also changes the base's weights
    "peft_type": ("LORA",), "bias": ("none",), "init_lora_weights": (True, False, "gaussian", "eva", "orthogonal"),
}  # fmt: skip
WITHOUT_EFFECT = {  # settings that do not change what a saved adapter computes
    "auto_mapping", "base_model_name_or_path", "eva_config", "fan_in_fan_out", "inference_mode", "megatron_core",
    "peft_version", "qalora_group_size", "revision", "runtime_config", "task_type",
}  # fmt: skip
# Matching a regular expression from a file must not take long. So an expression may have at most MOST_CHOICES repeats and
# groups in total, and no group may be repeated.
MOST_CHOICES, LONGEST_EXPRESSION, MOST_EXPRESSIONS, MOST_PATTERNS = 3, 200, 32, 10_000
CHOICE = re.compile(r"\\.|(\((?:\?[:=!])?|[*+?{])", re.DOTALL)
REPEATED_GROUP = re.compile(r"(?<!\\)(?:\\\\)*\)[*+{]")
PLAIN_NAME = re.compile(r"[\w.]*")


@dataclass(frozen=True, slots=True)
class PeftConfig:
    """The content of the file.

    Attributes:
        settings: the settings of every module that no pattern matches, without projections and tokens.
        ranks, alphas: ranks and alphas of single modules; the keys are regular expressions for the end of a module's name.
        targets, excluded: names of modules, or ends of names. None: the file has a regular expression or nothing; then the
            names of the stored tensors decide which modules are adapted.
        layers: the numbers of the adapted blocks; None: all.
        blocks: possible names of the list of blocks (PEFT's `layers_pattern`); (): any name.
        saved: ends of the names of modules that the adapter contains as whole copies (PEFT's `modules_to_save`).
        saved_together: whether a tied head is copied whenever the embedding is, and vice versa (PEFT's `ensure_weight_tying`).
        tokens: `trainable_token_indices`, unchanged.
    """

    settings: LoRASettings
    ranks: Mapping[str, int] = field(default_factory=dict)
    alphas: Mapping[str, float] = field(default_factory=dict)
    targets: tuple[str, ...] | None = None
    excluded: tuple[str, ...] | None = ()
    layers: tuple[int, ...] | None = None
    blocks: tuple[str, ...] = ()
    saved: tuple[str, ...] = ()
    saved_together: bool = False
    tokens: Any = None

    def settings_of(self, module: str) -> LoRASettings:
        """Returns the settings of A and B at a module. Raises LiuliError: a rank or an alpha is out of range, or a pattern
        could take long to match."""
        rank, alpha = _first_match(self.ranks, module), _first_match(self.alphas, module)
        if rank is None and alpha is None:
            return self.settings
        return replace(
            self.settings,
            rank=self.settings.rank if rank is None else rank,
            alpha=self.settings.alpha if alpha is None else alpha,
        )

    def adapts(self, module: str) -> bool | None:
        """Returns whether a projection has A and B; None: the names of the stored tensors decide."""
        if self.targets is None or self.excluded is None:
            return None
        if any(ends_in(module, name) for name in self.excluded):
            return False
        if module in self.targets:
            return True  # `layers` does not apply to whole names
        return self._has_layer(module) and (
            self.targets == (ALL_LINEAR,) or any(ends_in(module, name) for name in self.targets)
        )

    def identity(self) -> str:
        """Returns text for the adapter's hash: the settings that change what the adapter computes, except those that the names
        and shapes of its tensors show."""
        lines = [f"alpha {float(self.settings.alpha)}"]
        lines += [f"tokens {json.dumps(self.tokens, sort_keys=True)}"] if self.tokens else []
        lines += [f"alphas {json.dumps(dict(self.alphas), sort_keys=True)}"] if self.alphas else []
        lines += ["rank-stabilised"] if self.settings.rank_stabilised else []
        return "".join(f"{line}\n" for line in lines)

    def _has_layer(self, module: str) -> bool:
        if self.layers is None:
            return True
        found = re.match(r"(.*?\.[^.]*)\.(\d+)\.", module)
        if found is None or int(found[2]) not in self.layers:
            return False
        return not self.blocks or any(ends_in(found[1], name) for name in self.blocks)


def ends_in(module: str, name: str) -> bool:
    """Returns whether a module has this name, or a dotted name that ends with it."""
    return module == name or module.endswith(f".{name}")


def read_peft_config(folder: Path) -> PeftConfig:
    """Reads the file in a folder.

    Raises:
        LiuliError: a broken file; a setting that is not supported or out of range.
    """
    path = folder / CONFIG
    raw = read_json(path)
    for name, value in {"peft_type": None, **raw}.items():
        known = name in READ or name in WITHOUT_EFFECT
        harmless = value in ONLY[name] if name in ONLY else known or value in (None, False, {}, [])
        if not harmless:
            advice = f"supported: {', '.join(map(str, ONLY[name]))}" if name in ONLY else "use an adapter without this setting"
            raise LiuliError(f"{path}: {shown(name)} = {quoted(value)} is not supported; {advice}")
    try:
        values = (raw.get(name, silent) for name, silent in SETTINGS.items())
        settings = LoRASettings(*values, rank_stabilised=raw.get("use_rslora") or False)
    except (LiuliError, TypeError, ValueError, RecursionError) as error:
        raise LiuliError(f"{path}: {shown(str(error))}") from error
    for name in NAMES:
        _check(path, name, raw.get(name), _are_names, "a name or a list of names")
    for name in PATTERNS:
        wanted = f"an object with at most {MOST_PATTERNS:,} names, of which at most {MOST_EXPRESSIONS} are regular expressions"
        _check(path, name, raw.get(name), _is_pattern, wanted)
    _check(path, "layers_to_transform", raw.get("layers_to_transform"), _are_layers, "a whole number or a list of them")
    layers = raw.get("layers_to_transform")
    targets, excluded = raw.get("target_modules"), raw.get("exclude_modules") or ()
    by_expression = isinstance(targets, str) and targets.lower() != ALL_LINEAR
    return PeftConfig(
        settings=settings,
        ranks=raw.get("rank_pattern") or {},
        alphas=raw.get("alpha_pattern") or {},
        targets=None if not targets or by_expression else (ALL_LINEAR,) if isinstance(targets, str) else tuple(targets),
        excluded=None if isinstance(excluded, str) else tuple(excluded),
        layers=(layers,) if isinstance(layers, int) else tuple(layers) if layers else None,
        blocks=_several(raw.get("layers_pattern")),
        saved=_several(raw.get("modules_to_save")),
        saved_together=bool(raw.get("ensure_weight_tying")),
        tokens=raw.get(TOKENS),
    )


def patterns_to(settings: Mapping[str, LoRASettings]) -> dict[str, Any]:
    """Returns the settings of all modules as PEFT's fields. Modules that do not have the most frequent rank or alpha are listed
    in `rank_pattern` and `alpha_pattern`."""
    every = list(settings.values())
    ranks, alphas = [each.rank for each in every], [each.alpha for each in every]
    rank, alpha = max(ranks, key=ranks.count), max(alphas, key=alphas.count)
    other_ranks = {name: each.rank for name, each in settings.items() if each.rank != rank}
    other_alphas = {name: each.alpha for name, each in settings.items() if each.alpha != alpha}
    found: dict[str, Any] = {"r": rank, "lora_alpha": alpha, "lora_dropout": every[0].dropout}
    found |= {"rank_pattern": other_ranks} if other_ranks else {}
    found |= {"alpha_pattern": other_alphas} if other_alphas else {}
    return found | ({"use_rslora": True} if every[0].rank_stabilised else {})


def _first_match(patterns: Mapping[str, Any], module: str) -> Any:
    """Returns the value of the first pattern that matches the end of a module's name, as in PEFT; None if none matches."""
    for pattern, value in patterns.items():
        if ends_in(module, pattern):
            return value
        if PLAIN_NAME.fullmatch(pattern):  # the name of another module
            continue
        choices = sum(bool(found) for found in CHOICE.findall(pattern))
        if choices > MOST_CHOICES or len(pattern) > LONGEST_EXPRESSION or REPEATED_GROUP.search(pattern):
            raise LiuliError(
                f"the pattern {quoted(pattern)} could take very long to match: list the names of the modules instead, or use "
                f"at most {MOST_CHOICES} repeats and groups, and no repeated group"
            )
        try:
            if re.match(rf"(.*\.)?({pattern})$", module):
                return value
        except (re.error, OverflowError, RecursionError) as error:
            raise LiuliError(
                f"the pattern {quoted(pattern)} is not a regular expression ({shown(str(error))}): correct it"
            ) from None
    return None


def _several(given: str | Sequence[str] | None) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given or ())


def _check(path: Path, name: str, value: Any, good: Any, wanted: str) -> None:
    if value is not None and not good(value):
        raise LiuliError(f"{path}: {name} must be {wanted}, not {quoted(value)}")


def _are_names(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(name, str) for name in value))


def _is_pattern(value: Any) -> bool:
    if not isinstance(value, dict) or len(value) > MOST_PATTERNS:
        return False
    return sum(PLAIN_NAME.fullmatch(pattern) is None for pattern in value) <= MOST_EXPRESSIONS


def _are_layers(value: Any) -> bool:
    numbers = value if isinstance(value, list) else [value]
    return all(type(number) is int for number in numbers)
