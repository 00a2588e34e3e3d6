"""A model is a folder in Hugging Face's format: read, written and hashed here.

In: a folder with `config.json` and weights (`model.safetensors`, its shards, or `pytorch_model.bin`, weights only).
Out: a `Decoder` whose parameters are the mapped file itself where dtype and device allow: no second copy is made.
Nothing in a folder is ever executed.
"""

import hashlib
import pickle
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from liuli.errors import LiuliError
from liuli.files import read_json, write_json, write_whole
from liuli.model.config import Config
from liuli.model.decoder import Decoder
from liuli.model.formats.families import canonical_name, config_to, is_known_extra, read_config, tensor_names

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
SHARD_BYTES = 4_000_000_000


def read_decoder(folder: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Decoder:
    """The decoder in a folder.

    Raises:
        LiuliError: no weights, a broken or unsafe file, tensors that are missing, unknown, of another shape or not
            finite; each named.
    """
    config = read_config(folder)
    with torch.device("meta"):
        decoder = Decoder(config)
    shapes = {name: parameter.shape for name, parameter in decoder.named_parameters(remove_duplicate=False)}
    stored = _expected_tensors(folder, config)
    parameters: dict[str, Tensor] = {}
    for name, place in tensor_names(config).items():
        tensor = stored[name]()
        whole = tensor.t() if place.transposed else tensor
        rows = [shapes[part][0] for part in place.parts]
        expected = (sum(rows), *shapes[place.parts[0]][1:])
        if tuple(whole.shape) != expected:
            shown = list(reversed(expected)) if place.transposed else list(expected)
            raise LiuliError(f"{folder}: the tensor {name} has shape {list(tensor.shape)}, but config.json implies {shown}")
        if tensor.dtype not in DTYPES or tensor.layout != torch.strided:
            raise LiuliError(f"{folder}: the tensor {name} is {tensor.dtype}: quantised or sparse weights are not supported")
        check_finite(tensor, name, folder)
        parameters |= {part: piece.to(device, dtype) for part, piece in zip(place.parts, whole.split(rows), strict=True)}
    if config.tied:
        parameters["head.weight"] = parameters["embedding.weight"]
    decoder.load_state_dict(parameters, assign=True)
    if config.tied:
        decoder.head.tie(decoder.embedding)
    return decoder.eval()


def write_decoder(decoder: Decoder, folder: Path, dtype: torch.dtype = torch.float32, shard_bytes: int = SHARD_BYTES) -> None:
    """Writes `config.json` and the weights, sharded with an index where they are larger than `shard_bytes`.

    Each file is written beside and renamed, so that a file with its final name is whole.
    """
    parameters = dict(decoder.named_parameters(remove_duplicate=False))
    tensors: dict[str, Tensor] = {}
    for name, place in tensor_names(decoder.config).items():
        parts = [parameters[part].detach().to("cpu", dtype) for part in place.parts]
        whole = parts[0] if len(parts) == 1 else torch.cat(parts)
        tensors[name] = (whole.t() if place.transposed else whole).contiguous()
    parts, shards, texts = _shards(tensors, shard_bytes), {"model.safetensors": tensors}, {}
    if len(parts) > 1:
        shards = {f"model-{i:05}-of-{len(parts):05}.safetensors": part for i, part in enumerate(parts, 1)}
        texts["model.safetensors.index.json"] = {
            "metadata": {"total_size": sum(tensor.nbytes for tensor in tensors.values())},
            "weight_map": {tensor: name for name, shard in shards.items() for tensor in shard},
        }
    texts["config.json"] = config_to(decoder.config) | {"torch_dtype": str(dtype).removeprefix("torch.")}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, shard in shards.items():
            write_whole(folder / name, partial(save_file, shard, metadata={"format": "pt"}))
        for name, content in texts.items():
            write_json(folder / name, content)
        for stale in {*folder.glob("model*.safetensors*"), *folder.glob("pytorch_model*.bin*")}:
            if stale.name not in shards and stale.name not in texts:
                stale.unlink()  # older weights would be read in place of these
    except (OSError, SafetensorError) as error:
        raise LiuliError(f"the model cannot be written to {folder}: {error}") from None


def hash_folder(folder: Path) -> str:
    """SHA-256 over the tensors as stored: Hugging Face's name, dtype, shape and bytes, by name; tied copies left out.
    It is the same for one file, shards or `pytorch_model.bin`."""
    config = read_config(folder)
    stored = _expected_tensors(folder, config)
    return hash_tensors({name: stored[name] for name in tensor_names(config)})


Lazy = Callable[[], Tensor]


def hash_tensors(tensors: dict[str, Lazy], first: str = "") -> str:
    """SHA-256 over `first`, then name, dtype, shape and bytes of each tensor, by name."""
    digest = hashlib.sha256(first.encode())
    for name in sorted(tensors):
        tensor = tensors[name]()
        digest.update(f"{name} {str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _expected_tensors(folder: Path, config: Config) -> dict[str, Lazy]:
    """The folder's tensors by canonical name, each mapped when called; all that is expected is there, nothing else."""
    expected = tensor_names(config)
    stored: dict[str, Lazy] = {}
    for name, tensor in _stored_tensors(folder):
        if canonical_name(name, config) in stored:
            raise LiuliError(f"{folder}: the weights hold {name} twice, with and without its prefix")
        stored[canonical_name(name, config)] = tensor
    missing = sorted(expected.keys() - stored.keys())
    if missing:
        raise LiuliError(f"{folder}: the weights lack {listed(missing)}")
    extra = sorted(name for name in stored.keys() - expected.keys() if not is_known_extra(name))
    if config.tied and "lm_head.weight" in extra:
        extra.remove("lm_head.weight")
        tied_to = next(name for name, place in expected.items() if place.parts == ("embedding.weight",))
        if not torch.equal(stored["lm_head.weight"](), stored[tied_to]()):
            raise LiuliError(f"{folder}: config.json has a tied head, but lm_head.weight differs from {tied_to}")
    if extra:
        raise LiuliError(f"{folder}: the weights hold what a {config.family} decoder has no place for: {listed(extra)}")
    return stored


def _stored_tensors(folder: Path) -> Iterator[tuple[str, Lazy]]:
    """(name, tensor) of every tensor in the weight files."""
    for kind, read in (("model.safetensors", read_safetensors), ("pytorch_model.bin", _read_bin)):
        index = folder / f"{kind}.index.json"
        if (folder / kind).is_file():
            return read(folder / kind)
        if index.is_file():
            return _read_shards(index, read)
    raise LiuliError(f"{folder} holds no weights; looked for model.safetensors, pytorch_model.bin and their indices")


def _read_shards(index: Path, read: Callable[[Path], Iterator[tuple[str, Lazy]]]) -> Iterator[tuple[str, Lazy]]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(name, str) for name in weight_map.values()):
        raise LiuliError(f"{index} is broken: its weight_map must say which file holds each tensor")
    for name in sorted(set(weight_map.values())):
        path = index.parent / Path(name).name  # a shard lies beside its index, whatever the index says
        if not path.is_file():
            raise LiuliError(f"{index.parent}: the shard {path.name} that {index.name} names is not there")
        yield from read(path)


def read_safetensors(path: Path) -> Iterator[tuple[str, Lazy]]:
    """(name, tensor) of every tensor in a file, each mapped when called.

    Raises:
        LiuliError: it is broken.
    """
    try:
        file = safe_open(path, framework="pt")
    except (SafetensorError, OSError, ValueError) as error:
        raise LiuliError(f"{path} is broken or truncated: {error}") from None
    return ((name, lambda name=name: file.get_tensor(name)) for name in file.keys())  # noqa: SIM118  # no mapping


def _read_bin(path: Path) -> Iterator[tuple[str, Lazy]]:
    try:
        tensors: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError:
        raise LiuliError(f"{path} is refused: it holds code or objects beside weights, and nothing in a file is run") from None
    except (RuntimeError, OSError, ValueError, EOFError) as error:
        reason = str(error).split("\n")[0]
        raise LiuliError(f"{path} is broken, or of the format before PyTorch 1.6: {reason}") from None
    if not isinstance(tensors, dict) or not all(isinstance(n, str) and isinstance(t, Tensor) for n, t in tensors.items()):
        raise LiuliError(f"{path} is broken: it does not hold tensors by name")
    return ((name, lambda tensor=tensor: tensor) for name, tensor in tensors.items())


def check_finite(tensor: Tensor, name: str, folder: Path) -> None:
    """Raises LiuliError where a number is NaN or infinite."""
    # One pass without a temporary; a sum may overflow where every number is finite, so look again before refusing.
    if not torch.isfinite(tensor.sum()) and not torch.isfinite(tensor).all():
        bad = int((~torch.isfinite(tensor)).sum())
        raise LiuliError(f"{folder}: the tensor {name} holds {bad} of {tensor.numel()} numbers that are NaN or infinite")


def _shards(tensors: dict[str, Tensor], shard_bytes: int) -> list[dict[str, Tensor]]:
    shards: list[dict[str, Tensor]] = [{}]
    for name, tensor in tensors.items():
        held = sum(other.nbytes for other in shards[-1].values())
        if held and held + tensor.nbytes > shard_bytes:
            shards.append({})
        shards[-1][name] = tensor
    return shards


def listed(names: list[str]) -> str:
    """The first of them, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
