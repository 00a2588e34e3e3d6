"""Every family once: the model as `transformers` made it, and as Liuli read it from the same folder."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import torch
import transformers
from helpers import families

from liuli.model.decoder import Decoder
from liuli.model.formats.detect import read_decoder


@dataclass
class Pair:
    name: str
    folder: Path
    theirs: transformers.PreTrainedModel
    ours: Decoder
    deviation: float  # standard deviation of the logits: the unit of every tolerance

    def expect(self, logits: torch.Tensor, ids_BT: torch.Tensor, **how) -> None:
        """Our logits are theirs for `ids_BT`, within 5e-5 of a standard deviation (fp32)."""
        with torch.no_grad():
            expected = self.theirs(ids_BT, **how).logits
        assert (logits - expected).abs().max() < 5e-5 * self.deviation


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    """Hashes of the tests' folders stay out of the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def pair_of(tmp_path_factory):
    """pair_of(family) -> Pair, made once."""

    @cache
    def make(name: str) -> Pair:
        folder = tmp_path_factory.mktemp(name)
        theirs = families.save(name, folder)
        with torch.no_grad():
            deviation = theirs(torch.arange(64)[None]).logits.std().item()
        assert deviation > 1
        return Pair(name, folder, theirs, read_decoder(folder), deviation)

    return make


@pytest.fixture(scope="session", params=families.FAMILIES)
def pair(request, pair_of) -> Pair:
    return pair_of(request.param)
