"""`liuli merge`: merges an adapter into its base model."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from liuli.cli.options import ADAPTER, Json, ModelName, check_model
from liuli.cli.output import print_json, say
from liuli.cli.work_progress import work_progress
from liuli.output_paths import check_new_folder


def merge(
    model: ModelName,
    adapter: Annotated[Path, typer.Argument(metavar="ADAPTER", help=f"The adapter: {ADAPTER}.", show_default=False)],
    out: Annotated[
        str, typer.Option(metavar="FOLDER", help="Write the new model to this new or empty folder.", show_default=False)
    ],
    json: Json = False,
) -> None:
    """Merge a LoRA adapter into its base model, and write the result as an fp32 model folder in Hugging Face format."""
    check_new_folder(out)
    check_model(model, adapter)

    with work_progress(f"loading {model}") as work:
        from liuli.files import new_folder, write_json
        from liuli.hub import find_model, model_in
        from liuli.learn.prepare.tokenizer_files import copy_tokenizer_files
        from liuli.model.adapters import lora
        from liuli.model.adapters.peft_folder import hash_adapter, load
        from liuli.model.formats.detect import hash_model, read_decoder
        from liuli.model.formats.hugging_face import write_decoder

        base, adapter = find_model(model, weights=True), model_in(adapter)
        with new_folder(Path(out)) as part:
            decoder = read_decoder(base)
            load(decoder, adapter, str(adapter), base)
            lora.merge(decoder)
            work.show("writing the merged model")
            write_decoder(decoder, part)
            for folder in (base, adapter):  # files in the adapter's folder replace the base's
                copy_tokenizer_files(folder, part, decoder.config.vocab_size)
            work.show("hashing the models")
            parents = {"parent": hash_model(base), "adapter": hash_adapter(adapter)}
            card = {"stage": "merged", **parents, "hash": hash_model(part), "command": ["liuli", *sys.argv[1:]]}
            write_json(part / "liuli.json", card, indent=1)
    if json:
        print_json({"path": out} | card)
    else:
        say(f"{out}: {model} with {adapter} merged into its weights, fp32, hash {card['hash']}")
