"""How probable each action was when the model chose one, from the records of the step's tokens."""

from collections.abc import Mapping, Sequence
from math import exp

from liuli.act.agent_run import ActionChance
from liuli.generate.record import Candidate, StepRecord, StepScores


def action_chances(steps: Sequence[StepRecord], begin: int, actions: Mapping[str | None, str]) -> list[ActionChance]:
    """The probability of each action, the most probable first; those of which no token was among the listed candidates are left
    out.

    The text of the chosen action is followed token by token. At each token, the other candidates count for what they would
    have begun; the chosen token's share is divided further at the next one, until one action is left.

    Args:
        steps: with candidates.
        begin: the byte of the text at which the actions' texts begin.
        actions: the text of each action; "" for an action whose text is anything that begins no other.
    """
    if len(actions) < 2:
        return []
    texts = {action: text.encode() for action, text in actions.items()}
    shares: dict[tuple[str | None, ...], float] = {}
    written, reach = b"", 1.0
    for step in steps:
        assert step.token is not None
        place, written = len(written), written + step.token.bytes
        if len(written) <= begin or step.scores is None:
            continue
        before = written[begin:place] if place > begin else b""
        skipped = max(0, begin - place)  # bytes of the token that still belong to the thought
        open_ = _begun(texts, before + step.token.bytes[skipped:])
        if not step.forced:
            kept = 1.0 - (step.removed or 0.0)
            for each in _allowed(step.scores):
                share = reach * exp(each.logprob) / kept
                found = _begun(texts, before + each.token.bytes[skipped:])
                if each.token.id != step.token.id:
                    shares[found] = shares.get(found, 0.0) + share
            reach = min(1.0, reach * exp(step.scores.logprob) / kept)
        if len(open_) == 1:
            shares[open_] = shares.get(open_, 0.0) + reach
            break
    return [ActionChance(found, share) for found, share in sorted(shares.items(), key=lambda item: -item[1])]


def _begun(texts: Mapping[str | None, bytes], written: bytes) -> tuple[str | None, ...]:
    """The actions whose text begins so, or which the written text begins with."""
    found = [action for action, text in texts.items() if text and (text.startswith(written) or written.startswith(text))]
    return tuple(found or [action for action, text in texts.items() if not text])


def _allowed(scores: StepScores) -> list[Candidate]:
    return [each for each in scores.candidates if each.cut != "grammar"]
