"""Writes a small language model as a GGUF file, with the names and layouts of llama.cpp's converter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGMLQuantizationType
from transformers import PreTrainedModel

#: Words that texts of the tests are made of; every one is built by merges from its letters.
MERGES = ["t h", "th e", "Ġ the", "c a", "ca t", "Ġ cat", "s a", "sa t", "Ġ sat"]


def write(model: PreTrainedModel, path: Path, stored: GGMLQuantizationType = GGMLQuantizationType.F32) -> None:
    """``model`` (Llama, Qwen2 or Gemma3) as ``path``; its matrices are ``stored`` so, vectors as float32."""
    kind, config = {"gemma3_text": "gemma3"}.get(model.config.model_type, model.config.model_type), model.config
    writer = gguf.GGUFWriter(path, kind)
    _add_config(writer, config)
    _add_tokenizer(writer, config.vocab_size, kind == "gemma3")
    names = gguf.get_tensor_name_map(
        getattr(gguf.MODEL_ARCH, kind.upper()), config.num_hidden_layers
    )  # from the names of transformers to those of llama.cpp
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values = _layout(kind, name, weight.numpy(), config)
        form = stored if values.ndim == 2 else GGMLQuantizationType.F32
        written = names.get_name(name, (".weight", ".bias"))
        writer.add_tensor(str(written), gguf.quants.quantize(values, form), raw_dtype=form)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_config(writer: gguf.GGUFWriter, config: Any) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    rope = config.rope_parameters
    writer.add_rope_freq_base(rope.get("full_attention", rope)["rope_theta"])
    if config.model_type == "gemma3_text":
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
        writer.add_sliding_window(config.sliding_window)


def _add_tokenizer(writer: gguf.GGUFWriter, size: int, pieces: bool) -> None:
    """Letters, a space and a few words, control tokens, and unused ones up to ``size``.

    Args:
        pieces: as SentencePiece writes them (Gemma), where the merges follow from the order; else byte-level BPE.
    """
    tokens = [chr(code) for code in range(ord("a"), ord("z") + 1)] + ["Ġ"]
    tokens += [merge.replace(" ", "") for merge in MERGES]
    control = ["<eos>", "<pad>", "<bos>", "<unk>", "<mask>"] if pieces else ["<|endoftext|>", "<pad>"]
    unused = [f"<unused{number}>" for number in range(size - len(tokens) - len(control))]
    types = [gguf.TokenType.NORMAL] * len(tokens) + [gguf.TokenType.CONTROL] * len(control)
    everything = tokens + control + unused
    if pieces:
        everything = [token.replace("Ġ", "▁") for token in everything]
        writer.add_token_scores([0.0] * size)
    else:
        writer.add_tokenizer_pre("gpt-2")
        writer.add_token_merges(MERGES)
    writer.add_tokenizer_model("llama" if pieces else "gpt2")
    writer.add_token_list(everything)
    writer.add_token_types(types + [gguf.TokenType.UNUSED] * len(unused))
    writer.add_eos_token_id(everything.index(control[0]))
    writer.add_pad_token_id(everything.index(control[1]))


def _layout(kind: str, name: str, values: np.ndarray, config: Any) -> np.ndarray:
    """What llama.cpp's converter changes: Llama's rotary halves become pairs, Gemma's norms are stored plus one."""
    if kind == "llama" and (".q_proj." in name or ".k_proj." in name):
        heads = config.num_attention_heads if ".q_proj." in name else config.num_key_value_heads
        halves = values.reshape(heads, 2, values.shape[0] // heads // 2, values.shape[1])
        return halves.swapaxes(1, 2).reshape(values.shape)
    return values + 1 if kind == "gemma3" and name.endswith("norm.weight") else values
