"""Compressed models of transformers: saving and loading, tied weights, and their other functions.

The weights are random; nothing is downloaded.
"""

import copy
import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import ccompress
from ccompress.errors import InputError
from ccompress.library.readers import table_of

transformers = pytest.importorskip("transformers")

V, D = 600, 16
IDS = torch.randint(4, V, (2, 6), generator=torch.Generator().manual_seed(1))
BERT = {
    "vocab_size": V,
    "hidden_size": D,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
T5 = {"vocab_size": V, "d_model": D, "d_ff": 32, "num_layers": 1, "num_heads": 2, "d_kv": 8}
T5 |= {"decoder_start_token_id": 0, "dropout_rate": 0.0}
ENDS = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
MBART = {
    "vocab_size": V,
    "d_model": D,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "scale_embedding": True,
}
GPT2 = {"vocab_size": V, "n_embd": D, "n_layer": 1, "n_head": 2, **ENDS}
GPT2 |= {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
# class, class of the configuration, options, name of the embedding
MODELS = {
    "bert": (
        "BertForSequenceClassification",
        "BertConfig",
        BERT,
        "bert.embeddings.word_embeddings",
    ),
    "bert lm": ("BertForMaskedLM", "BertConfig", BERT, "bert.embeddings.word_embeddings"),
    "roberta lm": ("RobertaForMaskedLM", "RobertaConfig", BERT, "*.word_embeddings"),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", GPT2, "transformer.wte"),
    "t5": ("T5ForConditionalGeneration", "T5Config", T5, "shared"),
    "mt5 encoder": ("MT5EncoderModel", "MT5Config", T5, "shared"),
    "mbart": ("MBartForConditionalGeneration", "MBartConfig", MBART, "model.shared"),
}


def new_model(which):
    kind, config, options, _ = MODELS[which]
    torch.manual_seed(0)
    return getattr(transformers, kind)(getattr(transformers, config)(**options)).eval()


def compressed(which, method="in_training_svd", rate=0.5):
    model = new_model(which)
    ccompress.compress(model, rate, method, name=MODELS[which][3])
    return model


@torch.no_grad()
def outputs(model):
    decoder = (
        {"decoder_input_ids": IDS}
        if hasattr(model, "lm_head") and model.config.is_encoder_decoder
        else {}
    )
    return model(input_ids=IDS, **decoder)[0]


@pytest.mark.parametrize("method", ["in_training_svd", "quantization"])
@pytest.mark.parametrize("which", MODELS)
def test_from_pretrained_reads_what_save_pretrained_wrote(tmp_path, which, method):
    model = compressed(which, method)
    expected = outputs(model)
    model.save_pretrained(tmp_path)
    for round_ in ("once", "twice"):
        model, report = type(model).from_pretrained(tmp_path, output_loading_info=True)
        assert not any(report.values()), report
        assert torch.equal(outputs(model), expected)
        model.tie_weights()  # it ties uncompressed weights only
        assert torch.equal(outputs(model), expected)
        model.save_pretrained(tmp_path / round_)
        tmp_path /= round_
    stored = sum(
        len(t.untyped_storage()) for t in load_file(tmp_path / "model.safetensors").values()
    )
    assert stored == sum(
        t.nbytes for t in {id(t): t for t in [*model.parameters(), *own_buffers(model)]}.values()
    )


def own_buffers(model):
    state = model.state_dict(keep_vars=True)
    return [t for t in state.values() if not isinstance(t, nn.Parameter)]


@pytest.mark.parametrize("which", ["bert", "mbart"])
def test_a_model_with_another_head_can_be_loaded(tmp_path, which):
    model = compressed(which)
    model.save_pretrained(tmp_path / "whole")
    base = ccompress.restore(transformers.AutoModel, tmp_path / "whole")
    table = table_of(model.get_input_embeddings())
    assert torch.equal(table_of(base.get_input_embeddings()).A, table.A)
    base.save_pretrained(tmp_path / "base")
    again = type(model).from_pretrained(tmp_path / "base")
    assert torch.equal(table_of(again.get_input_embeddings()).A, table.A)


def test_save_and_restore_accept_models_of_transformers(tmp_path):
    model = compressed("bert")
    ccompress.save(model, tmp_path / "bert")
    again = ccompress.restore(transformers.AutoModelForSequenceClassification, tmp_path / "bert")
    assert torch.equal(outputs(again), outputs(model))
    with pytest.raises(InputError, match="stored in a folder"):
        ccompress.save(model, tmp_path / "one.safetensors")
    with pytest.raises(InputError, match="there is no folder"):
        ccompress.restore(transformers.AutoModel, tmp_path / "nothing")


def test_a_model_inside_a_users_module_is_saved_too(tmp_path):
    """In sentence-transformers, the model of transformers is a part of another module."""
    module = nn.ModuleDict({"encoder": new_model("bert")})
    ccompress.compress(module, 0.5, name="*.word_embeddings")
    expected = outputs(module["encoder"])
    module["encoder"].save_pretrained(tmp_path / "part")
    again = type(module["encoder"]).from_pretrained(tmp_path / "part")
    assert torch.equal(outputs(again), expected)
    ccompress.save(module, tmp_path / "module")
    again = ccompress.restore(nn.ModuleDict({"encoder": new_model("bert")}), tmp_path / "module")
    assert torch.equal(outputs(again["encoder"]), expected)


@pytest.mark.parametrize("lost", ["A", "structure"])
def test_the_error_of_an_incomplete_checkpoint_names_the_tensor(tmp_path, lost):
    model = compressed("bert lm")
    model.save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = load_file(file)
    del tensors[f"bert.embeddings.word_embeddings.{lost}"]
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(InputError, match=rf"lacks bert\.embeddings\.word_embeddings\.{lost}:"):
        type(model).from_pretrained(tmp_path)


def test_a_checkpoint_of_another_shape_is_an_error(tmp_path):
    model = compressed("bert")
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["quantization_config"]["tables"]["bert.embeddings.word_embeddings"]["rank"] += 1
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(RuntimeError, match="mismatch"):
        type(model).from_pretrained(tmp_path)


@pytest.mark.parametrize("which", ["bert", "gpt2"])
def test_without_ccompress_loading_is_an_error(tmp_path, which, monkeypatch):
    """A process that never imported ccompress must not get a random table."""
    from transformers.quantizers import auto

    model = compressed(which)
    model.save_pretrained(tmp_path)
    for known in (auto.AUTO_QUANTIZATION_CONFIG_MAPPING, auto.AUTO_QUANTIZER_MAPPING):
        monkeypatch.delitem(known, "ccompress")
    with pytest.raises(RuntimeError, match="mismatch"):
        type(model).from_pretrained(tmp_path)


def test_a_table_in_training_is_not_saved(tmp_path):
    model = new_model("bert")
    name = "bert.embeddings.word_embeddings"
    ccompress.compress(model, 0.5, "in_training_svd_mixed", name, counts=[IDS])
    with pytest.raises(InputError, match=rf"'{name}' is a .*: call ccompress.finish"):
        model.save_pretrained(tmp_path)
    ccompress.finish(model)
    model.save_pretrained(tmp_path)
    assert torch.equal(outputs(type(model).from_pretrained(tmp_path)), outputs(model))


# tied weights


@pytest.mark.parametrize("which", ["bert lm", "roberta lm", "gpt2", "t5", "mbart"])
def test_tied_inputs_and_outputs_share_one_table(which):
    """The outputs and gradients equal those of an uncompressed model with the weight A B."""
    model, dense = new_model(which).double(), new_model(which).double()
    name = dense.get_input_embeddings()
    ccompress.compress(model, 0.5, name=MODELS[which][3])
    table = table_of(model.get_input_embeddings())
    assert table_of(model.get_output_embeddings()) is table
    assert sum(p is table.A for p in model.parameters()) == 1
    with torch.no_grad():
        name.weight.copy_(table.A @ table.B)
    torch.testing.assert_close(outputs(model), outputs(dense))

    gradients = {}
    for one in (model, dense):
        labels = {"labels": IDS}
        one(input_ids=IDS, **labels).loss.backward()
        gradients[one] = {n: p.grad for n, p in one.named_parameters() if p.grad is not None}
    product = name.weight.grad
    torch.testing.assert_close(table.A.grad, product @ table.B.T)
    torch.testing.assert_close(table.B.grad, table.A.T @ product)
    for other in gradients[model].keys() & gradients[dense].keys():
        torch.testing.assert_close(gradients[model][other], gradients[dense][other])


def test_scores_are_multiplied_by_b_first():
    """A token costs k (V + d) instead of V d, because the V x d table is never computed."""
    model = compressed("gpt2")
    made_shapes = []

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and not function.is_view:
                made_shapes.append(tuple(result.shape))
            return result

    with Watch():
        outputs(model)
    assert (V, D) not in made_shapes
    assert (IDS.numel(), table_of(model.get_input_embeddings()).rank) in made_shapes


# other functions of models


def test_get_input_embeddings_returns_the_compressed_embedding():
    model = compressed("bert")
    embeddings = model.get_input_embeddings()
    assert isinstance(embeddings, ccompress.LowRankEmbedding)
    assert embeddings.weight.shape == (V, 0)
    assert embeddings.weight.dtype == torch.float32


@pytest.mark.parametrize("rows", [V + 7, V - 7])
@pytest.mark.parametrize("which", ["bert lm", "gpt2", "t5", "mbart", "bert"])
def test_token_embeddings_are_resized(tmp_path, which, rows):
    model = compressed(which)
    before = model.get_input_embeddings()(torch.arange(V))
    embeddings = model.resize_token_embeddings(rows)
    assert embeddings is model.get_input_embeddings()
    assert model.config.vocab_size == rows
    after = embeddings(torch.arange(rows))
    kept = min(V, rows)
    assert torch.equal(after[:kept], before[:kept])
    if rows > V:
        torch.testing.assert_close(
            after[V:], before.mean(0).expand(rows - V, -1), atol=1e-6, rtol=1e-5
        )
    if model.get_output_embeddings() is not None:
        assert outputs(model).shape[-1] == rows
    model.save_pretrained(tmp_path)
    assert torch.equal(outputs(type(model).from_pretrained(tmp_path)), outputs(model))
    assert model.resize_token_embeddings() is model.get_input_embeddings()
    assert model.resize_token_embeddings(rows, pad_to_multiple_of=64).num_embeddings % 64 == 0


def test_a_frozen_table_is_not_resized_and_a_copy_knows_that():
    model = copy.deepcopy(compressed("bert", "quantization"))
    with pytest.raises(InputError, match=r"QuantizedEmbedding, which is frozen: resize .* first"):
        model.resize_token_embeddings(V + 1)
    assert model.resize_token_embeddings(V) is model.get_input_embeddings()


@pytest.mark.parametrize("which", ["bert lm", "t5"])
def test_a_copy_is_tied_and_independent(which):
    model = compressed(which)
    copied = copy.deepcopy(model)
    table = table_of(copied.get_input_embeddings())
    assert table_of(copied.get_output_embeddings()) is table
    with torch.no_grad():
        table.A.zero_()
    assert table_of(model.get_input_embeddings()).A.any()
    assert not torch.equal(outputs(model), outputs(copied))


def test_a_loaded_model_can_be_cast_and_trained(tmp_path, monkeypatch):
    # pytest makes our folder tests/data/datasets importable as `datasets`.
    monkeypatch.setattr(transformers.trainer, "is_datasets_available", lambda: False)
    compressed("bert lm").save_pretrained(tmp_path)
    model = transformers.BertForMaskedLM.from_pretrained(tmp_path)
    assert model.half().float().get_input_embeddings().A.requires_grad
    arguments = transformers.TrainingArguments(
        str(tmp_path / "out"),
        max_steps=2,
        report_to=[],
        use_cpu=True,
        save_steps=2,
        per_device_train_batch_size=2,
    )
    before = model.get_input_embeddings().A.detach().clone()
    rows = [{"input_ids": ids, "labels": ids} for ids in IDS]
    transformers.Trainer(model, arguments, train_dataset=rows).train()
    assert not torch.equal(model.get_input_embeddings().A, before)
    again = transformers.BertForMaskedLM.from_pretrained(tmp_path / "out" / "checkpoint-2")
    assert torch.equal(outputs(again), outputs(model.eval()))


@pytest.mark.parametrize("which", ["bert lm", "gpt2", "t5"])
def test_gradient_checkpointing_changes_no_gradient(which):
    gradients = []
    for checkpointing in (False, True):
        model = compressed(which).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        model(input_ids=IDS, labels=IDS).loss.backward()
        table = table_of(model.get_input_embeddings())
        gradients.append([table.A.grad, table.B.grad])
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("method", ["in_training_svd", "quantization"])
@pytest.mark.parametrize("which", ["bert lm", "gpt2"])
def test_models_work_under_autocast_and_in_bfloat16(which, method):
    model, dense = compressed(which, method), new_model(which)
    with torch.autocast("cpu", torch.bfloat16):
        scores = outputs(model)
        assert model.get_input_embeddings()(IDS).dtype == torch.float32
        assert scores.dtype == outputs(dense).dtype
    torch.testing.assert_close(scores.float(), outputs(model), atol=0.1, rtol=0.1)
    assert outputs(model.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize("method", ["in_training_svd", "quantization"])
def test_a_compressed_model_compiles(method):
    torch.compiler.reset()
    model = compressed("bert lm", method)
    compiled = torch.compile(model, backend="aot_eager")
    torch.testing.assert_close(outputs(compiled), outputs(model))


def test_peft_adapts_uncompressed_layers(tmp_path):
    peft = pytest.importorskip("peft")
    model = compressed("bert")
    expected = outputs(model)
    adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules=["query", "value"]))
    assert torch.equal(outputs(adapted), expected)
    optimizer = torch.optim.SGD((p for p in adapted.parameters() if p.requires_grad), lr=1.0)
    adapted(input_ids=IDS, labels=torch.tensor([0, 1])).loss.backward()
    optimizer.step()
    trained = outputs(adapted.eval())
    adapted.save_pretrained(tmp_path)
    again = peft.PeftModel.from_pretrained(compressed("bert"), tmp_path).eval()
    # The head is drawn again with the same seed, and the adapters are read from the file.
    torch.testing.assert_close(outputs(again), trained)
    merged = again.merge_and_unload()
    torch.testing.assert_close(outputs(merged), trained, atol=1e-5, rtol=1e-4)


def test_peft_refuses_to_adapt_the_compressed_table():
    peft = pytest.importorskip("peft")
    config = peft.LoraConfig(target_modules=["word_embeddings"])
    with pytest.raises(ValueError, match="LowRankEmbedding"):
        peft.get_peft_model(compressed("bert"), config)
