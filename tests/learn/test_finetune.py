"""Fine-tuning: losses as a reference has them, rows that hold whole exchanges, runs that go on to the bit."""

import json
import shutil
from datetime import date
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F
import transformers
from helpers.trainings import CONFIG, assert_same, job_in, kept, run, sentences, write_config, write_corpus

from liuli.data.dialogues.dialogues import Dialogue, Dialogues
from liuli.data.packing.batch import IGNORED
from liuli.data.packing.dialogue_pieces import Cuts, pieces_of_dialogues
from liuli.data.split import split_dialogues
from liuli.errors import LiuliError
from liuli.generate.model import load
from liuli.learn.prepare.job import Job
from liuli.learn.rows.dialogue_rows import DialogueRows
from liuli.learn.rows.rows import Cursor
from liuli.learn.run.events import Finished, Note, Ready, Stopped, Update, Validated
from liuli.learn.run.folder import read_metrics
from liuli.learn.run_stage import finetune
from liuli.learn.stages.finetune import _like
from liuli.learn.stages.stage import Tokenization
from liuli.learn.step.loop import Training
from liuli.learn.step.objectives import NextToken
from liuli.learn.step.recipe import derive
from liuli.model.adapters import lora
from liuli.model.adapters.token_rows import never_met
from liuli.model.decoder import Decoder
from liuli.model.formats.detect import read_decoder
from liuli.model.formats.families import config_from
from liuli.model.formats.hugging_face import write_decoder
from liuli.model.start import start
from liuli.tokens import open_tokenizer
from liuli.tokens.chat.chat import Chat
from liuli.tokens.chat.templates import CHATML
from liuli.tokens.train import train

NAMES, ANIMALS = ("小明", "Ada", "小红", "Grace", "老王"), ("cat", "狗", "otter", "熊猫", "horse", "鸟", "fox")


def conversations(count=120):
    for i in range(count):
        messages = [
            {"role": "user", "content": f"What has {NAMES[i % 5]}, {i}?"},
            {"role": "assistant", "content": f"{i % 13} {ANIMALS[i % 7]}"},
        ]
        if i % 3 == 0:
            messages += [{"role": "user", "content": "真的吗？"}, {"role": "assistant", "content": "真的。"}]
        yield messages


def write_dialogues(path, some=None):
    lines = [json.dumps({"messages": messages}, ensure_ascii=False) for messages in some or conversations()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A base model of a few steps."""
    folder = tmp_path_factory.mktemp("base")
    write_corpus(folder)
    run(job_in(folder, tokens=12 * 64 * 2, length=64), folder / "run")
    return folder / "run" / "model"


@pytest.fixture(scope="module")
def longer_base(tmp_path_factory):
    """A base of enough steps that the rows of what it never met are alike."""
    folder = tmp_path_factory.mktemp("longer")
    write_config(folder, hidden_size=64, head_dim=32, intermediate_size=64)
    job = job_in(folder, tokens=250 * 64 * 2, length=64)
    run(job, folder / "run")
    met = {id for text in sentences() for id in open_tokenizer(folder / "run" / "model").encode(text)}
    return folder / "run" / "model", met


def job(base, data, **change):
    fields = {"parent": str(base), "sources": (str(data),), "tokens": 20 * 64 * 4, "length": 64, "rows": 4}
    return Job.of(**fields | {"device": "cpu", "dtype": "fp32", "threads": 1} | change)


def tuned(job, out, resume=False, at=()):
    done, events = [0], []
    for event in finetune(job, out, resume, False, lambda: done[0] in at):
        events.append(event)
        done[0] = getattr(event, "step", done[0])
    return events


class Adam:
    """PyTorch's AdamW in the optimiser's place."""

    def __init__(self, parameters):
        self._parameters = list(parameters)
        self._adam = torch.optim.AdamW(self._parameters, lr=3e-3, betas=(0.9, 0.98), weight_decay=0.0)

    def gradient_norm(self):
        return float(torch.nn.utils.get_total_norm([each.grad for each in self._parameters]))

    def step(self, strength):
        self._adam.step()

    def forget_gradients(self):
        self._adam.zero_grad(set_to_none=True)


def hand_made(text, tokenizer):
    """The ids of a conversation in ChatML, and what is to be predicted of them, both written out by hand."""
    ids, wanted = [], []
    for role, content in text:
        head = [tokenizer.specials["<|im_start|>"], *tokenizer.encode(f"{role}\n")]
        body = tokenizer.encode(content)
        ids += [*head, *body, tokenizer.specials["<|im_end|>"], *tokenizer.encode("\n")]
        replied = role == "assistant"
        wanted += [False] * len(head) + [replied] * (len(body) + 1) + [False]
    return ids, wanted


def test_losses_are_those_of_a_reference(base):
    """20 steps of `transformers`' model, a dialogue at a time and masked by hand, against our packed rows."""
    tokenizer = open_tokenizer(base)
    chat = Chat.open(base, tokenizer)
    dialogues = [Dialogue(tuple(messages), "here") for messages in conversations(60)]
    pieces = list(pieces_of_dialogues(dialogues, chat, 128, Cuts()))
    decoder = read_decoder(base)
    for parameter in decoder.parameters():
        parameter.data = parameter.data.clone()
    recipe = derive(decoder.config, [40], {"length": 128, "rows": 4})
    rows = DialogueRows(pieces, 128, 0, tokenizer.end[0])
    adam = Adam(decoder.parameters())
    ours = Training(decoder, NextToken(), adam, rows, recipe, 20, torch.device("cpu"))  # pyright: ignore
    theirs = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
    reference, again = Adam(theirs.parameters()), DialogueRows(pieces, 128, 0, tokenizer.end[0])
    for _ in range(20):
        batch = again.take(4)
        assert batch is not None
        nats, supervised = torch.zeros(()), 0
        for piece in (piece for row in batch.pieces for piece in row):
            turns = [(message["role"], message["content"]) for message in dialogues[piece.number].messages]
            ids, wanted = hand_made(turns, tokenizer)
            assert ids == piece.ids.tolist()
            logits = theirs(torch.tensor([ids])).logits[0, :-1]
            targets = torch.where(torch.tensor(wanted[1:]), torch.tensor(ids[1:]), IGNORED)
            nats = nats + F.cross_entropy(logits, targets, ignore_index=IGNORED, reduction="sum")
            supervised += sum(wanted[1:])
        loss = nats / supervised
        loss.backward()
        assert ours.update().loss == pytest.approx(float(loss.detach()), rel=1e-4)
        reference.step(1.0)
        reference.forget_gradients()


def test_what_is_supervised_is_what_the_rows_say(base):
    chat = Chat.open(base, open_tokenizer(base))
    dialogues = [Dialogue(tuple(messages), "here") for messages in conversations(40)]
    pieces = list(pieces_of_dialogues(dialogues, chat, 64, Cuts()))
    rows = DialogueRows(pieces, 64, 0, 0, epochs=1)
    found = []
    while (batch := rows.take(3)) is not None:
        found += [int(id) for id in batch.targets_BT.flatten() if id != IGNORED]
    answers = [m["content"] + "<|im_end|>" for dialogue in dialogues for m in dialogue.messages if m["role"] == "assistant"]
    told = chat.tokenizer.decode(found, special=True)
    assert sorted(told.split("<|im_end|>")) == sorted("".join(answers).split("<|im_end|>"))


def test_long_dialogues_are_cut_between_exchanges(base):
    chat = Chat.open(base, open_tokenizer(base))
    system = {"role": "system", "content": "S."}
    turns = [{"role": ("user", "assistant")[i % 2], "content": f"{i} " + "a" * (5 if i != 5 else 90)} for i in range(12)]
    cuts = Cuts()
    dialogue = Dialogue((system, *turns, {"role": "user", "content": "?"}), "here")
    pieces = list(pieces_of_dialogues([dialogue, dialogue], chat, 100, cuts))
    assert (cuts.cut, cuts.long_answers, cuts.dialogues) == (2, 2, 2)
    texts = [chat.tokenizer.decode(piece.ids.tolist(), special=True) for piece in pieces]
    assert all(text.startswith("<|im_start|>system\nS.<|im_end|>") for text in texts)
    assert all(len(piece.ids) <= 101 for piece in pieces)
    half = "".join(texts[: len(texts) // 2])
    for i, turn in enumerate(turns):
        assert half.count(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>") == (i not in (4, 5))
    assert any("give a larger --length" in line for line in cuts.lines(100))


def test_a_template_that_refuses_some_is_counted_and_one_that_refuses_all_is_an_error(base, tmp_path):
    tokenizer = open_tokenizer(base)
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
    chat = Chat(tokenizer, refusing + Chat.open(base, tokenizer).template, "here")
    messages = next(conversations())
    good, bad = Dialogue(tuple(messages), "x"), Dialogue(({"role": "system", "content": "x"}, *messages), "x")
    cuts = Cuts()
    assert len(list(pieces_of_dialogues([good, bad, bad], chat, 128, cuts))) == 1
    assert "no system here" in next(cuts.lines(128))
    with pytest.raises(LiuliError, match=r"no dialogue can be used for training.*no system here"):
        list(pieces_of_dialogues([bad], chat, 128, Cuts()))


@pytest.mark.parametrize("stop", [0, 1, 7, 20])
def test_rows_go_on_from_a_cursor(base, stop):
    chat = Chat.open(base, open_tokenizer(base))
    pieces = list(pieces_of_dialogues([Dialogue(tuple(m), "x") for m in conversations(50)], chat, 64, Cuts()))
    whole, first = DialogueRows(pieces, 64, 5, 0, epochs=3), DialogueRows(pieces, 64, 5, 0, epochs=3)
    for _ in range(stop):
        whole.take(1), first.take(1)
    cursor = first.cursor()
    second = DialogueRows(pieces, 64, 5, 0, 3, Cursor(json.loads(json.dumps(cursor.settings)), cursor.tensors))
    while (wanted := whole.take(2)) is not None:
        found = second.take(2)
        assert found is not None
        assert torch.equal(found.ids_BT, wanted.ids_BT)
        assert torch.equal(found.targets_BT, wanted.targets_BT)
        assert found.epochs == wanted.epochs
    assert second.take(2) is None
    with pytest.raises(LiuliError, match="changed since the checkpoint"):
        DialogueRows(pieces[1:], 64, 5, 0, 3, cursor)


@pytest.mark.parametrize("kind", ["whole", "lora", "mixed"])
def test_a_run_goes_on_to_the_bit(base, tmp_path, kind):
    data = write_dialogues(tmp_path / "dialogues.jsonl")
    change = {"lora": {"lora": 2}, "mixed": {"mix": str(write_corpus(tmp_path))}}.get(kind, {})
    asked = job(base, data, **change)
    tuned(asked, tmp_path / "whole")
    events = tuned(asked, tmp_path / "stopped", at=(7,))
    assert isinstance(events[-1], Stopped)
    tuned(Job(), tmp_path / "stopped", resume=True, at=(13,))
    tuned(Job(), tmp_path / "stopped", resume=True)
    assert_same(kept(tmp_path / "stopped"), kept(tmp_path / "whole"))


def test_an_adapter_is_what_a_run_keeps_and_opens_on_its_base(base, tmp_path):
    data = write_dialogues(tmp_path / "dialogues.jsonl")
    before = {path.name: path.read_bytes() for path in base.iterdir()}
    tuned(job(base, data, lora=2), tmp_path / "run")
    model = tmp_path / "run" / "model"
    assert (model / "adapter_model.safetensors").is_file()
    assert not (model / "model.safetensors").exists()
    assert json.loads((model / "liuli.json").read_text(encoding="utf-8"))["stage"] == "assistant"
    assert {path.name: path.read_bytes() for path in base.iterdir()} == before
    plain, adapted = load(base), load(base, adapter=model)
    ids = torch.tensor([[1, 9, 12]])
    with torch.no_grad():
        assert not torch.allclose(plain.decoder(ids), adapted.decoder(ids))


def test_with_lora_replies_end_and_the_templates_tokens_learn(longer_base, tmp_path):
    """The base has never met <|im_start|> and <|im_end|>, which begin and end every message."""
    base, _ = longer_base
    questions = [[{"role": "user", "content": f"{name} {i}?"}] for name in NAMES for i in range(8)]
    answered = [[*asked, {"role": "assistant", "content": asked[0]["content"].split()[0] + "."}] for asked in questions]
    data = write_dialogues(tmp_path / "dialogues.jsonl", answered)
    events = tuned(job(base, data, lora=4, tokens=100 * 64 * 4), tmp_path / "run")
    notes = [event.text for event in events if isinstance(event, Note)]
    said = "LoRA also trains the embedding rows of the chat template's tokens: <|im_start|>, <|im_end|>"
    assert said in notes
    model = load(base, adapter=tmp_path / "run" / "model")
    chat = Chat.open(tmp_path / "run" / "model", model.tokenizer)
    answer = lambda: [model.complete(chat.prompt(asked), max_tokens=16, temperature=0.0) for asked in questions[::5]]
    replies = answer()
    assert {reply.finish_reason for reply in replies} == {"stop"}
    lora.merge(model.decoder)
    assert [reply.ids for reply in answer()] == [reply.ids for reply in replies]


def test_a_held_out_question_longer_than_the_context_is_not_asked(base, tmp_path):
    held = [[{"role": "user", "content": "x" * 200 + str(i)}, {"role": "assistant", "content": "."}] for i in range(2)]
    short = [[{"role": "user", "content": "kurz?"}, {"role": "assistant", "content": "ja"}]]
    data, valid = write_dialogues(tmp_path / "a.jsonl"), write_dialogues(tmp_path / "held.jsonl", held + short)
    tuned(job(base, data, valid=str(valid)), tmp_path / "run")
    body = json.loads((tmp_path / "run" / "trace.json").read_text(encoding="utf-8"))["body"]
    assert [probe["input"]["text"] for probe in body["probes"]] == ["kurz?"]
    assert body["samples"][0]["prompt"] == "kurz?"


def test_a_foreign_base_gets_rows_and_a_template(tmp_path):
    folder = tmp_path / "foreign"
    train(["Ada keeps a cat. 小明有3只狗。" * 5], vocab_size=270).write(folder)
    body = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    for token in body["added_tokens"][1:]:  # leaves the end token alone
        token["content"] = token["content"].replace("|", "!").replace("tool", "other")
    vocab = body["model"]["vocab"]
    body["model"]["vocab"] = {
        piece.replace("|", "!").replace("tool", "other") if id in range(1, 7) else piece: id for piece, id in vocab.items()
    }
    (folder / "tokenizer.json").write_text(json.dumps(body), encoding="utf-8")
    tokenizer = open_tokenizer(folder)
    assert "<|im_start|>" not in tokenizer.specials
    decoder = Decoder(config_from(CONFIG | {"vocab_size": tokenizer.vocab_size}, "here"))
    start(decoder, 0)
    write_decoder(decoder, folder)
    data = write_dialogues(tmp_path / "dialogues.jsonl")
    events = tuned(job(folder, data), tmp_path / "run")
    notes = [event.text for event in events if isinstance(event, Note)]
    assert "special tokens added for the chat template: 2" in notes
    model = tmp_path / "run" / "model"
    assert read_decoder(model).config.vocab_size == tokenizer.vocab_size + 2
    theirs = transformers.AutoTokenizer.from_pretrained(model)
    ours = Chat.open(model, open_tokenizer(model))
    messages = next(conversations())
    assert theirs.apply_chat_template(messages, return_dict=False) == ours.dialogue(messages).ids
    assert json.loads((model / "generation_config.json").read_text())["eos_token_id"][0] == ours.stop
    with pytest.raises(LiuliError, match="has no rows for 2 tokens of the chat template"):
        tuned(job(folder, data, lora=2), tmp_path / "lora")
    padded = Decoder(config_from(CONFIG | {"vocab_size": tokenizer.vocab_size + 3}, "here"))
    start(padded, 0)
    write_decoder(padded, folder)
    tuned(job(folder, data, lora=2), tmp_path / "lora")


def test_no_answer_fits_a_row(base, tmp_path):
    data = write_dialogues(tmp_path / "dialogues.jsonl")
    with pytest.raises(LiuliError, match=r"no answer fits into 4 tokens together with its question; give a larger --length"):
        tuned(job(base, data, length=4), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    with pytest.raises(LiuliError, match="--length must be a whole number above 0, not -3"):
        job(base, data, length=-3)


def test_with_strict_nothing_is_left_out(base):
    chat, messages = Chat.open(base, open_tokenizer(base)), tuple(next(conversations()))
    refuses = "{% if messages[0].role == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
    refusing, system = Chat(chat.tokenizer, refuses + chat.template, "here"), {"role": "system", "content": "x"}
    with pytest.raises(LiuliError, match=r"^talk:7: the chat template refuses this conversation: no system here"):
        list(pieces_of_dialogues([Dialogue((system, *messages), "talk:7")], refusing, 64, Cuts(), strict=True))
    with pytest.raises(LiuliError, match=r"^talk:7: an answer is too long for a sequence of 20 tokens; give a larger --length"):
        list(pieces_of_dialogues([Dialogue(messages, "talk:7")], chat, 20, Cuts(), strict=True))


def test_what_is_left_out_of_a_held_out_file_is_said(base, tmp_path):
    data, valid = write_dialogues(tmp_path / "dialogues.jsonl"), tmp_path / "held.jsonl"
    longer = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "long " * 40}]
    write_dialogues(valid, [next(conversations()), longer])
    with valid.open("a", encoding="utf-8") as file:
        file.write("{}\n")
    events = tuned(job(base, data, valid=str(valid)), tmp_path / "run")
    notes = [event.text for event in events if isinstance(event, Note)]
    assert any(note.startswith("skipped ") and str(valid) in note for note in notes), notes
    assert "held out: skipped 1 answer: too long for a sequence of 64 tokens; give a larger --length" in notes
    assert "the first prompt of 1 held-out dialogue is also in the training data" in notes


@pytest.mark.parametrize("rows", [2, 5])
def test_an_epoch_is_of_the_dialogues_whatever_is_mixed_in(base, tmp_path, rows):
    data, text = write_dialogues(tmp_path / "dialogues.jsonl"), str(write_corpus(tmp_path))
    chosen = {"tokens": None, "epochs": 2.0, "mix": text, "rows": rows}
    tuned(job(base, data, **chosen), tmp_path / "run")
    steps = [row for row in read_metrics(tmp_path / "run") if "loss" in row]
    chat = Chat.open(base, open_tokenizer(base))
    dialogues = split_dialogues(Dialogues([str(data)])).training()
    once = DialogueRows(list(pieces_of_dialogues(dialogues, chat, 64, Cuts())), 64, 0, 0, epochs=1)
    batch = once.take(1000)
    assert batch is not None
    assert len(steps) == pytest.approx(2 * len(batch.pieces) / (rows - max(1, round(rows / 4))), abs=1)


def test_text_is_not_all_that_a_step_has(base, tmp_path):
    data, text = write_dialogues(tmp_path / "dialogues.jsonl"), str(write_corpus(tmp_path))
    with pytest.raises(LiuliError, match="with --mix a batch needs at least 2 sequences"):
        tuned(job(base, data, mix=text, rows=1), tmp_path / "run")


def test_the_text_of_mix_may_be_in_another_field(base, tmp_path):
    data, poems = write_dialogues(tmp_path / "dialogues.jsonl"), tmp_path / "poems.jsonl"
    poems.write_text("".join(json.dumps({"lines": ["a cat", sentence]}) + "\n" for sentence in sentences()))
    assert tuned(job(base, data, mix=str(poems), text_field=("lines",)), tmp_path / "run")
    with pytest.raises(LiuliError, match="--text-field is for the text of --mix: add --mix, or leave out --text-field"):
        tuned(job(base, data, text_field=("lines",)), tmp_path / "other")


def test_a_template_that_writes_the_date_goes_on_another_day(base, tmp_path, monkeypatch):
    dated, data = tmp_path / "base", write_dialogues(tmp_path / "dialogues.jsonl")
    shutil.copytree(base, dated)
    says = "{{ '<|im_start|>system\\n' + strftime_now('%d %b %Y') + '<|im_end|>\\n' }}"
    (dated / "chat_template.jinja").write_text(says + CHATML, encoding="utf-8")
    asked = job(dated, data)
    with monkeypatch.context() as patch:
        patch.setattr("liuli.learn.run_stage.date", SimpleNamespace(today=lambda: date(2026, 1, 2)))
        tuned(asked, tmp_path / "whole")
        tuned(asked, tmp_path / "stopped", at=(7,))
    tuned(Job(), tmp_path / "stopped", resume=True)
    assert_same(kept(tmp_path / "stopped"), kept(tmp_path / "whole"))
    rows = Chat.open(dated, open_tokenizer(dated), "2026-01-02").dialogue(next(conversations())).ids
    assert "02 Jan 2026" in open_tokenizer(dated).decode(rows)


def test_tokens_that_a_base_never_met(longer_base):
    model, met = longer_base
    tokenizer = open_tokenizer(model)
    met = met | {*tokenizer.begin, *tokenizer.end}
    strangers = [tokenizer.specials[text] for text in ("<|im_start|>", "<|im_end|>", "<tool_call>")]
    every = range(tokenizer.vocab_size)
    assert never_met(read_decoder(model), strangers, every) == [id for id in every if id not in met]


def test_lora_learns_rows_of_what_the_base_never_met(longer_base, tmp_path):
    """Words of which the base's text has no letter: without rows of their own LoRA could neither tell nor write them."""
    model, met = longer_base
    asked = [[{"role": "user", "content": word}, {"role": "assistant", "content": word[::-1]}] for word in ("ZQ", "XJ", "VK")]
    data = write_dialogues(tmp_path / "dialogues.jsonl", asked * 20)
    asking = job(model, data, lora=4, valid=str(write_dialogues(tmp_path / "held.jsonl", asked)), tokens=120 * 64 * 4)
    events = tuned(asking, tmp_path / "run")
    tokenizer = open_tokenizer(model)
    new = {id for word in ("ZQ", "XJ", "VK", "user", "assistant", "\n") for id in tokenizer.encode(word)} - met
    notes = [event.text for event in events if isinstance(event, Note)]
    assert f"LoRA also trains the embedding rows of {len(new)} dialogue tokens that the base model has never seen" in notes
    tuned_model = load(model, adapter=tmp_path / "run" / "model")
    chat = Chat.open(tmp_path / "run" / "model", tokenizer)
    for messages in asked:
        assert tuned_model.complete(chat.prompt(messages[:1]), max_tokens=8, temperature=0.0).text == messages[1]["content"]


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([{"messages": [{"role": "user", "content": "a"}]}], "the dialogue has no answer"),
        ([{"messages": [{"role": "assistant", "content": "a"}]}], "impossible order"),
        ([{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": " "}]}], "answer"),
    ],
)
def test_data_with_nothing_to_learn(base, tmp_path, records, message):
    path = tmp_path / "bad.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    with pytest.raises(LiuliError, match=message):
        tuned(job(base, path), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_of_another_stage_is_not_gone_on_with(base, tmp_path):
    data = write_dialogues(tmp_path / "dialogues.jsonl")
    tuned(job(base, data), tmp_path / "run", at=(3,))
    with pytest.raises(LiuliError, match=r"a run of liuli finetune: resume it with liuli finetune --out .* --resume"):
        run(Job(), tmp_path / "run", resume=True)
    with pytest.raises(LiuliError, match="there is no model to fine-tune"):
        tuned(Job.of(sources=(str(data),)), tmp_path / "other")


def test_rows_are_as_long_as_the_model_reads(tmp_path):
    """And not as short as a new model's of its size: a longer answer would be left out."""
    folder = tmp_path / "base"
    write_corpus(folder)
    context = write_config(folder, max_position_embeddings=512)
    run(job_in(folder, tokens=12 * 512 * 2, length=512, config=str(context)), folder / "run")
    longer = [[{"role": "user", "content": f"{i}?"}, {"role": "assistant", "content": "cat " * 100}] for i in range(60)]
    data = write_dialogues(tmp_path / "dialogues.jsonl", longer)
    events = tuned(job(folder / "run" / "model", data, length=None, rows=2, tokens=10 * 2 * 512), tmp_path / "run")
    ready = next(event for event in events if isinstance(event, Ready))
    assert ready.recipe["length"] > 400


def test_dialogues_that_change_during_the_run_stop_nothing(base, tmp_path):
    """All of them were encoded before the first step: no validation reads the file again."""
    data = write_dialogues(tmp_path / "talks.jsonl")
    events = []
    for event in finetune(job(base, data), tmp_path / "run"):
        events.append(event)
        if isinstance(event, Ready):
            data.write_text("changed\n", encoding="utf-8")
    assert isinstance(events[-1], Finished)
    assert sum(isinstance(event, Validated) for event in events) > 2
    other = tuned(job(base, write_dialogues(tmp_path / "same.jsonl")), tmp_path / "other")
    losses = [[event.loss for event in some if isinstance(event, Update)] for some in (events, other)]
    assert losses[0] == losses[1]


def test_chat_tokens_that_a_parent_learned_are_kept(base, tmp_path):
    """`train --from` an assistant makes a base whose template's tokens have been learned: no row is written over."""
    parent = tmp_path / "parent"
    shutil.copytree(base, parent)
    text = Tokenization(open_tokenizer(parent))
    assert _like(parent, text) is not None
    (parent / "chat_template.jinja").write_text("{{ messages }}", encoding="utf-8")
    assert _like(parent, text) is None


@pytest.mark.parametrize("large", [True, False])
def test_a_published_model_reads_its_data_three_times_at_most(base, tmp_path, monkeypatch, large):
    """A budget of time would be hundreds of passes over a few dialogues; a small model of one's own takes them all."""
    monkeypatch.setattr("liuli.model.plan.LARGE", 0 if large else 50e6)
    data = write_dialogues(tmp_path / "dialogues.jsonl")
    asked = job(base, data, minutes=0.1, tokens=None, rows=None)
    events = finetune(asked, tmp_path / "run", False, False, lambda: True)
    ready, said = None, []
    for event in events:
        ready = event if isinstance(event, Ready) else ready
        said += [event.text] if isinstance(event, Note) else []
    capped = "training stops after 3 passes over the data, before 0.1 minutes are over" in "".join(said)
    assert capped == large
    if large:
        assert ready.recipe["rows"] == 2  # so that three passes have at least 100 steps
        assert 100 <= ready.steps < 150
    else:
        assert ready.steps > 100


def test_a_model_that_is_trained_further_keeps_the_name_of_its_size(base, tmp_path):
    parent, data = shutil.copytree(base, tmp_path / "parent"), write_dialogues(tmp_path / "talks.jsonl")
    card = json.loads((parent / "liuli.json").read_text())
    (parent / "liuli.json").write_text(json.dumps(card | {"size": "nano"}))
    tuned(job(parent, data), tmp_path / "run", at=[3])
    shutil.rmtree(parent)
    tuned(Job.of(), tmp_path / "run", resume=True)
    for path in (tmp_path / "run" / "model" / "liuli.json", tmp_path / "run" / "trace.json"):
        found = json.loads(path.read_text())
        assert found.get("size", found.get("model", {}).get("size")) == "nano"
