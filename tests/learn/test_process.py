"""What a run does to the process it runs in: it computes as was asked, and leaves everything as it was."""

import os
from itertools import cycle

import pytest
import torch
from helpers.trainings import CONFIG, decoder_of, job_in, run

from liuli import devices
from liuli.data.packing.batch import batch_of
from liuli.data.packing.pieces import Piece
from liuli.devices import find_device
from liuli.errors import LiuliError
from liuli.learn.prepare import fixed, machine
from liuli.learn.prepare.fixed import choose, choose_again
from liuli.learn.prepare.job import ComputeSettings
from liuli.learn.prepare.machine import Machine
from liuli.learn.run.events import Ready, Update
from liuli.learn.run_stage import pretrain
from liuli.learn.step.objectives import NextToken
from liuli.model.formats.families import config_from


def of_process():
    return (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.get_rng_state().tolist(),
        dict(os.environ),
    )


@pytest.mark.parametrize("end", ["finished", "closed", "an error"])
def test_a_run_leaves_the_process_as_it_was(tmp_path, monkeypatch, end):
    torch.manual_seed(5)
    torch.use_deterministic_algorithms(True, warn_only=True)
    monkeypatch.setattr("liuli.learn.prepare.machine.ctypes.CDLL", None)  # the allocator is the command's to set
    try:
        before, threads = of_process(), []
        events = pretrain(job_in(tmp_path, steps=12, threads=1, seed=3), tmp_path / "run")
        for event in events:
            if isinstance(event, Update):
                threads.append(torch.get_num_threads())
                if end == "closed":
                    events.close()
                elif end == "an error":
                    with pytest.raises(RuntimeError):
                        events.throw(RuntimeError("somebody else's"))
        assert set(threads) == {1}
        assert of_process() == before
    finally:
        torch.use_deterministic_algorithms(False)


def test_a_run_whose_folder_holds_nothing_yet_is_removed_where_it_is_interrupted(tmp_path):
    events = pretrain(job_in(tmp_path, steps=12), tmp_path / "run")
    next(events)
    assert (tmp_path / "run").exists()
    with pytest.raises(KeyboardInterrupt):
        events.throw(KeyboardInterrupt())
    assert not (tmp_path / "run").exists()


@pytest.fixture
def two_gpus(monkeypatch):
    """As a machine with two GPUs answers; nothing is computed."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(fixed, "processor", lambda device: f"GPU {device}")
    monkeypatch.setattr(fixed, "self_test", lambda config, length, device, dtype, threads: Machine("bf16", 2, 1.0, {}))


def test_the_index_of_a_device_is_kept(two_gpus):
    config = config_from(CONFIG, "here")
    assert find_device("cuda:1") == torch.device("cuda", 1)
    found, _ = choose(ComputeSettings(device="cuda:1"), config, 32)
    assert found.device == "cuda:1"
    assert found.processor == "GPU cuda:1"
    assert choose_again(found, ComputeSettings(), False, config, 32)[0] == found
    with pytest.raises(LiuliError, match="device was cuda:1 and is cuda:0 now"):
        choose_again(found, ComputeSettings(device="cuda:0"), False, config, 32)


def test_the_first_gpu_has_two_names(two_gpus):
    config = config_from(CONFIG, "here")
    found, _ = choose(ComputeSettings(device="cuda"), config, 32)
    assert choose_again(found, ComputeSettings(device="cuda:0"), False, config, 32)[2] == []


def test_what_the_machine_lacks_alone_is_chosen_anew(two_gpus, monkeypatch):
    """Resumed inexactly without a GPU, a run in fp32 does not become one in bf16."""
    config = config_from(CONFIG, "here")
    asked = []

    def self_test(config, length, device, dtype, threads):
        asked.append((str(device), dtype, threads))
        return Machine(dtype or "bf16", threads or 2, 1.0, {})

    monkeypatch.setattr(fixed, "self_test", self_test)
    found, _ = choose(ComputeSettings(device="cuda:1", dtype="fp32", threads=1), config, 32)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    now, _, differing = choose_again(found, ComputeSettings(), True, config, 32)
    assert asked[-1] == ("cpu", "fp32", 1)
    assert (now.device, now.dtype) == ("cpu", "fp32")
    assert differing[0] == "device was cuda:1 and is cpu now"


@pytest.mark.parametrize("name", ["cuda:2", "cuda:256", "cuda:300"])
def test_a_device_that_is_not_there_is_refused(two_gpus, name):
    with pytest.raises(LiuliError, match=f"there is no device '{name}': this machine has cuda:0 to cuda:1"):
        find_device(name)


def test_no_device_is_named_in_a_machine_without_it():
    assert not devices.torch.cuda.is_available()
    with pytest.raises(LiuliError, match="no cuda:1 device"):
        find_device("cuda:1")


def test_cublas_is_deterministic_while_a_run_is_compiled(tmp_path, monkeypatch):
    """With `--compile` PyTorch refuses cuBLAS without a workspace of fixed size."""
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    seen = [
        os.environ.get("CUBLAS_WORKSPACE_CONFIG")
        for event in pretrain(job_in(tmp_path, steps=12), tmp_path / "run")
        if isinstance(event, Ready)
    ]
    assert seen == [":4096:8"]
    assert "CUBLAS_WORKSPACE_CONFIG" not in os.environ


def test_a_micro_batch_waits_for_no_device(tmp_path):
    """On the meta device no number can be read: whatever would make a GPU wait raises."""
    decoder = decoder_of().to("meta")
    pieces = [Piece(torch.arange(5 + i).int().numpy(), i, 0) for i in range(4)]
    for rows in ([[piece] for piece in pieces], [pieces]):
        batch = batch_of(rows, [0] * len(rows), 64, 0)
        objective = NextToken()
        assert objective.weight(batch) == sum(piece.places for piece in pieces)
        for part in batch.parts(2, torch.device("meta")):
            loss = objective(decoder, part)
            (loss.total / 3).backward()
            assert loss.total.is_meta
    assert all(parameter.grad is not None for parameter in decoder.parameters())


def test_rows_of_one_document_each_need_no_mask():
    long, short = (Piece(torch.arange(n).int().numpy(), n, 0) for n in (17, 5))
    full, packed = [long], [short, short]
    batch = batch_of([full, full, packed], [0] * 3, 16, 0)
    assert batch.apart
    assert [part.apart for part in batch.parts(2, torch.device("cpu"))] == [False, True]
    assert [part.inputs[2] is None for part in batch.parts(2, torch.device("cpu"))] == [True, False]


def test_two_runs_in_one_process_do_not_disturb_each_other(tmp_path):
    """The random state and the threads of the one are not those of the other."""
    one = run(job_in(tmp_path, steps=12, seed=1), tmp_path / "one")
    torch.rand(3)
    run(job_in(tmp_path, steps=12, seed=2), tmp_path / "between")
    again = run(job_in(tmp_path, steps=12, seed=1), tmp_path / "again")
    losses = [[event.loss for event in events if isinstance(event, Update)] for events in (one, again)]
    assert losses[0] == losses[1]


def test_the_machine_is_measured_anew_in_every_run(tmp_path, monkeypatch):
    """A result that was kept would be that of a busy moment for as long."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    chosen = []
    for times in ((1.0, 2.0), (2.0, 1.0)):  # seconds in fp32 and in bf16, in turn
        clock = cycle(times)
        monkeypatch.setattr(machine, "_seconds", lambda run, device, clock=clock: next(clock))
        chosen.append(machine.self_test(config_from(CONFIG, "here"), 32, torch.device("cpu"), None, 1).dtype)
    assert chosen == ["fp32", "bf16"]
    assert not list(tmp_path.iterdir())
