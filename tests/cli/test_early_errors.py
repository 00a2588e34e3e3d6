"""Mistakes in options and paths are found before anything slow: before PyTorch is imported, and nothing is written."""

import json
import subprocess
import sys

import pytest

# All commands in one process, one after the other, since each start takes a moment.
MAIN = """
import io, json, sys
from liuli.cli.app import main
found = []
for words in json.load(sys.stdin):
    sys.argv, sys.stderr = ["liuli", *words], io.StringIO()
    try:
        main()
    except SystemExit as end:
        found.append([end.code, sys.stderr.getvalue(), "torch" in sys.modules])
json.dump(found, sys.stdout)
"""
NO_MODEL, NO_DATA = "there is no folder nowhere; give a model's folder", "there is no file or folder 'nowhere'"
NO_FOLDER = "there is no folder nowhere: give an adapter's folder"
NO_DTYPE = "there is no dtype 'int3'; dtypes: fp32, bf16, fp16"
MISTAKES = {
    "complete nowhere text": NO_MODEL,
    "complete model text --adapter nowhere": NO_FOLDER,
    "complete model text --dtype int3": NO_DTYPE,
    "complete model text --candidates 3": "--candidates needs --steps or --json",
    "complete model text --threads 0": "--threads must be from 1 to",
    "complete unsaved text": "unsaved is a run that has no checkpoint yet, so it contains no model: resume the run",
    "chat nowhere": NO_MODEL,
    "chat model --adapter nowhere": NO_FOLDER,
    "compare nowhere --prompt text": NO_MODEL,
    "compare model": "there is no prompt: give --prompt TEXT, or --file FILE",
    "compare model --file nowhere.txt": "there is no file nowhere.txt; give the name of a text file",
    "compare model --file nowhere.jsonl": "there is no file or folder 'nowhere.jsonl'",
    "look model text --view lense": "there is no view 'lense'; views: path, tokens,",
    "look nowhere text --view lens": NO_MODEL,
    "look model text --view lens --adapter nowhere": NO_FOLDER,
    "look model text --view compare --with-model nowhere": NO_MODEL,
    "look model text --layer 3": "--layer needs a view: choose one with --view NAME",
    "look model text --view attention --head 0 --json": "--json does not use --head",
    "look model text --view lens --head 0": "the view lens does not use --head",
    "look model --view lens": "the view lens needs a text: give TEXT after the model",
    "look model text --view lens --dtype int3": NO_DTYPE,
    "look model text --view everything": "there is no view 'everything'",
    "look model text --view all": "--view all writes one page with all views: give its name with --html FILE",
    "look model text --view path --html text.txt": "text.txt already exists and will not be overwritten",
    "look model text --view path --html page.txt": "the name of the output file must end with .html",
    "look model text --html page.html --json": "--html and --json exclude each other: leave one out",
    "look model text --html page.html --head 1": "--html does not use --head, because the page shows every head",
    "evaluate nowhere text.txt": NO_MODEL,
    "evaluate model nowhere": NO_DATA,
    "evaluate model text.txt --valid nowhere": "there is no file 'nowhere' to validate on",
    "join nowhere question talks.jsonl talks.jsonl": NO_MODEL,
    "join model question talks.jsonl": "there is only one table: give at least two",
    "join model question talks.jsonl nowhere.csv": "there is no file nowhere.csv; give the name of a table",
    "join model question talks.jsonl text.txt": "text.txt: Liuli does not read tables from files of this type; it reads .csv,",
    "join model question talks.jsonl talks.jsonl --out new.xlsx": "new.xlsx: the name of a table must end with .csv, .json,",
    "join model question talks.jsonl talks.jsonl --dtype int3": NO_DTYPE,
    "merge nowhere model --out new": NO_MODEL,
    "merge model nowhere --out new": NO_FOLDER,
    "convert nowhere --out new": NO_MODEL,
    "convert model --out new --dtype int3": NO_DTYPE,
    "plan nowhere": "there is no size, folder or file nowhere",
    "plan ./nowhere": "there is no folder ./nowhere",
    "plan model --tokens many": "--tokens must be a number of at least 1",
    "tokenize nowhere text": NO_MODEL,
    "tokenize model --chat nowhere": NO_DATA,
    "train --out new": "there is nothing to train on",
    "train nowhere --out new": NO_DATA,
    "train picture.png --out new": "picture.png: Liuli does not read text from files of this type",
    "train text.txt --out new --valid nowhere": "there is no file 'nowhere' to validate on",
    "train text.txt --out new --config nowhere": "there is no file nowhere: give --config a config.json",
    "train text.txt --out new --tokenizer nowhere": NO_MODEL,
    "train text.txt --out new --from nowhere": NO_MODEL,
    "train text.txt --out new --size huge": "there is no size 'huge' to train; sizes: nano, micro, mini, small, base",
    "train text.txt --out new --dtype fp8": "there is no dtype 'fp8' to train in; dtypes: fp32, bf16",
    "train text.txt --out new --lr 0": "the learning rate must be above 0",
    "train text.txt --out new --warm-up 2": "--warm-up must be a share of the steps between 0 and 1",
    "train --out new --resume": "there is no run in new to resume: leave out --resume",
    "finetune --out new": "there is no model to fine-tune: give its folder",
    "finetune model --out new": "there is nothing to learn from: give files or folders of dialogues",
    "finetune nowhere talks.jsonl --out new": NO_MODEL,
    "finetune model nowhere --out new": NO_DATA,
    "finetune model talks.jsonl --out new --mix nowhere": NO_DATA,
    "tokenizer train nowhere --out new": NO_DATA,
    "tokenizer train text.txt --out new --kind word": "there is no tokenizer of kind 'word': choose bpe or char",
    "data look nowhere": NO_DATA,
    "data look text.txt --valid nowhere": "there is no file 'nowhere' to validate on",
    "data convert nowhere --out new.jsonl": NO_DATA,
    "world": "liuli world needs --out FOLDER",
    "world dialogues --out new.txt": "new.txt: the name of the output file must end with .jsonl; give such a name",
    "runs nowhere": "nowhere does not exist: give a run's folder, or a folder of runs",
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("early")
    (folder / "model").mkdir()
    (folder / "unsaved").mkdir()
    (folder / "unsaved" / "run.json").write_text("{}")
    (folder / "text.txt").write_text("some text")
    (folder / "picture.png").write_text("some text")
    (folder / "talks.jsonl").write_text("{}\n")
    lines = [line.split() for line in MISTAKES]
    process = subprocess.run(
        [sys.executable, "-P", "-c", MAIN], input=json.dumps(lines), stdout=subprocess.PIPE, cwd=folder, text=True, check=True
    )
    assert not [path.name for path in folder.iterdir() if path.name.startswith("new")]
    return dict(zip(MISTAKES, json.loads(process.stdout), strict=True))


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_found_before_pytorch_is_imported(results, line):
    code, err, imported = results[line]
    assert (code, err.count("\n")) == (2, 1), err
    assert MISTAKES[line] in err
    assert not imported
