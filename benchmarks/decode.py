"""Tokens per second of one request, greedy, fp32: Liuli's engine against `transformers.generate` on the same folder.

    python benchmarks/decode.py [--times 7] [--threads N] [--device cuda]

Alternating runs in this process, medians. GB/s is what the weights alone make: bytes of weights read for each token, times
tokens per second. Also what recording costs. Needs the test extra; stories260k comes from ../shared.
"""

import argparse
import tempfile
from pathlib import Path

import torch
import transformers
from shared import SHARED, alternate, machine, seconds

import liuli

transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()


def llama_125m(folder: Path) -> Path:
    """A random Llama of 124 M parameters, as Hugging Face's folder."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=32_000, hidden_size=768, intermediate_size=2560, num_hidden_layers=12, num_attention_heads=12,
        num_key_value_heads=12, max_position_embeddings=1024, tie_word_embeddings=True,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def compare(folder: Path, tokens: int, times: int, device: str) -> None:
    ours = liuli.load(folder, device=device)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(device)
    prompt = [1, 5, 9, 20]
    ids = torch.tensor([prompt], device=device)
    settings = {"max_new_tokens": tokens, "min_new_tokens": tokens, "do_sample": False, "pad_token_id": 0}
    mask = torch.ones_like(ids)

    def complete(candidates: int | None = None) -> float:
        ours.stop_ids = []
        return tokens / seconds(lambda: ours.complete(prompt, max_tokens=tokens, temperature=0, candidates=candidates))

    found = alternate(
        {
            "transformers.generate": lambda: tokens / seconds(lambda: theirs.generate(ids, attention_mask=mask, **settings)),
            "liuli": complete,
            "liuli, scores of the chosen": lambda: complete(0),
            "liuli, 5 candidates": lambda: complete(5),
        },
        times,
    )
    weights = sum(parameter.nbytes for parameter in ours.decoder.parameters())
    count = sum(parameter.numel() for parameter in ours.decoder.parameters())
    print(f"\n{folder.name}: {count / 1e6:.2f} M parameters, {tokens} tokens, {device}")
    for name, rate in found.items():
        ratio = rate / found["transformers.generate"]
        print(f"  {name:28} {rate:8.1f} tokens/s  {rate * weights / 1e9:6.2f} GB/s  {ratio:5.2f} times transformers")
    print(f"  recording the chosen token's scores costs {found['liuli'] / found['liuli, scores of the chosen'] - 1:.1%}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print(machine())
    stories = SHARED / "data" / "models" / "stories260k"
    if stories.is_dir():
        compare(stories, 199, arguments.times, arguments.device)
    with tempfile.TemporaryDirectory() as work:
        compare(llama_125m(Path(work) / "llama-124m"), 48, arguments.times, arguments.device)


if __name__ == "__main__":
    main()
