"""Checks the files and folders that a job names, before anything slow: PyTorch is not imported, nothing is read or downloaded.

The stages and the readers check them again, and their content.
"""

from pathlib import Path

from liuli.data.dialogues.dialogues import DIALOGUES
from liuli.data.records.find_files import check_names
from liuli.data.split import SplitRule
from liuli.data.text.readers import TEXTS
from liuli.errors import LiuliError
from liuli.hub import local_model
from liuli.learn.prepare.job import FINETUNE, OWN_NAMES, TRAIN, Job

NOTHING = {
    TRAIN: "there is nothing to train on: give files or folders of text",
    FINETUNE: "there is nothing to learn from: give files or folders of dialogues",
}


def check_complete(job: Job, command: str) -> None:
    """Raises LiuliError: a new run of `train` or `finetune` has no data, or no model to fine-tune."""
    if command == FINETUNE and not job.model.parent:
        raise LiuliError("there is no model to fine-tune: give its folder")
    if not job.data.sources:
        raise LiuliError(NOTHING[command])


def check_paths(job: Job, command: str) -> None:
    """Checks what the command `train` or `finetune` is given.

    Raises:
        LiuliError: a file or folder does not exist, or is not one of data.
    """
    formats = DIALOGUES if command == FINETUNE else TEXTS
    if job.data.sources:
        check_names(job.data.sources, formats)
    if job.data.valid is not None and (rule := SplitRule.parse(job.data.valid)).kind == "file":
        check_names([rule.file], formats)
    if job.data.mix is not None:
        check_names([job.data.mix], TEXTS)
    if job.model.parent is not None:
        local_model(job.model.parent)
    if job.model.tokenizer is not None and job.model.tokenizer not in OWN_NAMES:
        local_model(job.model.tokenizer)
    if job.model.config is not None:
        check_config_file(job.model.config)


def check_config_file(name: str) -> None:
    """Raises LiuliError: there is no such file."""
    if not Path(name).is_file():
        raise LiuliError(f"there is no file {name}: give --config a config.json")
