"""A model's default sampling settings, from `generation_config.json` in its folder or from the metadata of its GGUF file.

In: the folder or file. Out: a `Sampling`, and where its settings come from. A setting that is not supported is named in a
remark. Source: `GenerationConfig` in https://github.com/huggingface/transformers; −1 for "no top-k" is vLLM's.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from liuli.errors import LiuliError
from liuli.generate.sampling import Sampling
from liuli.hub import is_gguf
from liuli.remarks import remark
from liuli.tokens.formats.config import PHRASES, are_ids, possible_ids, possible_phrases, shown
from liuli.tokens.formats.settings import GENERATION, read_settings

DEFAULT_TEMPERATURE = 0.8
FOLLOWED = (
    "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty",
)  # fmt: skip
NEUTRAL = {  # values that change nothing, in addition to null, false and empty values
    "num_beams": 1, "num_beam_groups": 1, "num_return_sequences": 1, "diversity_penalty": 0, "length_penalty": 1,
    "typical_p": 1, "epsilon_cutoff": 0, "eta_cutoff": 0, "penalty_alpha": 0, "encoder_repetition_penalty": 1,
    "encoder_no_repeat_ngram_size": 0, "no_repeat_ngram_size": 0, "guidance_scale": 1, "min_length": 0, "min_new_tokens": 0,
    "max_length": 20,
}  # fmt: skip
WITHOUT_EFFECT = {  # settings that do not change which tokens are chosen, or that are handled elsewhere
    "do_sample", "suppress_tokens", "bad_words_ids", "bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id",
    "transformers_version", "use_cache", "cache_implementation", "cache_config", "max_cache_len", "output_attentions",
    "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate", "return_legacy_cache",
    "renormalize_logits", "remove_invalid_values", "low_memory", "prefill_chunk_size", "is_assistant", "num_assistant_tokens",
    "num_assistant_tokens_schedule", "assistant_confidence_threshold", "assistant_early_exit", "assistant_lookbehind",
    "target_lookbehind", "assistant_ensemble_weight", "prompt_lookup_num_tokens", "max_matching_ngram_size", "compile_config",
    "disable_compile", "trust_remote_code", "_from_model_config", "_commit_hash", "generation_kwargs",
}  # fmt: skip


class SamplingDefaults(NamedTuple):
    """The settings.

    Attributes:
        source: where the settings in `named` come from, for people. The other settings have `Sampling`'s own defaults.
    """

    sampling: Sampling
    source: str
    named: frozenset[str]


def default_sampling(folder: Path, whose: str, size: int, ends: Sequence[int]) -> SamplingDefaults:
    """Returns the settings of a folder's file or of a GGUF file, or Liuli's own if there are none.

    Args:
        whose: what the settings belong to ("the folder"), for people.
        size: the number of ids that the model has.
        ends: ids that end a text. `bad_words_ids` does not suppress them.

    Raises:
        LiuliError: a broken file, or a setting out of range.
    """
    path, place = (folder, "metadata") if is_gguf(folder) else (folder / GENERATION, GENERATION)
    raw = read_settings(folder, GENERATION)
    given = {name: _plain(name, raw[name]) for name in FOLLOWED if raw.get(name) is not None}
    if raw.get("do_sample") is False:
        given["temperature"] = 0.0
    unwanted, phrases = _unwanted(path, raw, size, ends)
    if unwanted:
        given["logit_bias"] = dict.fromkeys(unwanted, float("-inf"))
    ignored = {name: value for name, value in raw.items() if _asks_for_more(name, value)}
    if phrases:
        ignored[PHRASES] = phrases
    if ignored:
        listed = ", ".join(f"{shown(name)[1:-1]} = {shown(value)}" for name, value in ignored.items())
        remark(f"{path} sets {listed}, which Liuli does not support and ignores")
    if not given:
        none = "no supported sampling settings" if ignored else "no sampling settings"
        sampling = Sampling(temperature=DEFAULT_TEMPERATURE)
        return SamplingDefaults(sampling, f"Liuli's default ({whose} has {none})", frozenset({"temperature"}))
    try:
        return SamplingDefaults(Sampling(**given), f"{whose}'s {place}", frozenset(given))
    except LiuliError as error:
        raise LiuliError(f"{path}: {error}") from None


def _plain(name: str, value: Any) -> Any:
    """A setting of the file in the form of `Sampling`."""
    if isinstance(value, bool):
        return value  # `Sampling` refuses it
    if name == "top_p" and value == 0:
        return 1.0
    if name == "top_k" and value == -1:
        return 0
    return int(value) if name == "top_k" and isinstance(value, float) and value.is_integer() else value


def _asks_for_more(name: str, value: Any) -> bool:
    """Whether a setting is not supported and would change which tokens are chosen."""
    if name in FOLLOWED or name in WITHOUT_EFFECT or value in (None, False, "", [], {}):
        return False
    return name not in NEUTRAL or value != NEUTRAL[name]


def _unwanted(path: Path, raw: dict[str, Any], size: int, ends: Sequence[int]) -> tuple[list[int], list[list[int]]]:
    """The unwanted tokens, and the unwanted phrases of several tokens, without ids that the model does not have."""
    tokens, words = raw.get("suppress_tokens") or [], raw.get(PHRASES) or []
    if not are_ids(tokens):
        raise LiuliError(f"{path}: suppress_tokens must be a list of ids, not {shown(tokens)}")
    if not isinstance(words, list) or not all(map(are_ids, words)):
        raise LiuliError(f"{path}: {PHRASES} must be a list of lists of ids, not {shown(words)}")
    tokens = possible_ids(tokens, size, f"{path}: suppress_tokens")
    words = possible_phrases(words, size, f"{path}: {PHRASES}")
    single = [word[0] for word in words if len(word) == 1 and word[0] not in ends]
    return list(dict.fromkeys([*tokens, *single])), [word for word in words if len(word) > 1]
