"""The part of llama.cpp's C API that ``ra_sdk.llama`` uses, as ctypes declarations.

They describe llama.h of one range of llama.cpp builds, named in ``ra_sdk.reasoner.llama_library``. llama.cpp does not keep
the layout of its parameter structures stable: a field is added every few weeks, and a wrong layout corrupts memory
instead of failing. ``misfit`` finds out, from the library's own defaults, whether the layouts are right.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from ctypes import POINTER, c_bool, c_char_p, c_float, c_int, c_int8, c_int32, c_size_t, c_uint32, c_void_p
from typing import Any

__all__ = ["FUNCTIONS", "declare", "misfit"]

NAMES = {
    "u32": c_uint32,
    "i32": c_int32,
    "enum": c_int,
    "f32": c_float,
    "ptr": c_void_p,
    "bool": c_bool,
    "size": c_size_t,
}


def _fields(layout: str) -> list[tuple[str, Any]]:
    """Fields of a structure: lines of a type and the names of the fields that have it, in order."""
    lines = [line.split() for line in layout.strip().splitlines()]
    return [(name, NAMES[kind]) for kind, *names in lines for name in names]


class ModelParams(ctypes.Structure):
    """``llama_model_params``."""

    _fields_ = _fields("""
        ptr devices tensor_buft_overrides
        i32 n_gpu_layers
        enum split_mode load_mode lazy_mode
        i32 main_gpu
        ptr tensor_split progress_callback progress_callback_user_data kv_overrides
        bool vocab_only check_tensors use_extra_bufts no_host no_alloc load_mtp
    """)


class ContextParams(ctypes.Structure):
    """``llama_context_params``."""

    _fields_ = _fields("""
        u32 n_ctx n_batch n_ubatch n_seq_max n_rs_seq n_outputs_max n_outputs_max_per_seq
        i32 n_threads n_threads_batch
        enum ctx_type rope_scaling_type pooling_type attention_type flash_attn_type
        f32 rope_freq_base rope_freq_scale yarn_ext_factor yarn_attn_factor yarn_beta_fast yarn_beta_slow
        u32 yarn_orig_ctx
        f32 defrag_thold
        ptr cb_eval cb_eval_user_data
        enum type_k type_v
        size moe_cache_size
        ptr abort_callback abort_callback_data
        bool embeddings offload_kqv no_perf op_offload swa_full kv_unified
        ptr samplers
        size n_samplers
        ptr ctx_other
    """)


class QuantizeParams(ctypes.Structure):
    """``llama_model_quantize_params``."""

    _fields_ = _fields("""
        i32 nthread
        enum ftype output_tensor_type token_embedding_type
        bool allow_requantize quantize_output_tensor only_copy pure keep_split dry_run
        ptr imatrix kv_overrides tt_overrides prune_layers
        size max_buf_size
    """)


class Batch(ctypes.Structure):
    """``llama_batch``."""

    _fields_ = [
        ("n_tokens", c_int32),
        ("token", POINTER(c_int32)),
        ("embd", POINTER(c_float)),
        ("pos", POINTER(c_int32)),
        ("n_seq_id", POINTER(c_int32)),
        ("seq_id", POINTER(POINTER(c_int32))),
        ("logits", POINTER(c_int8)),
    ]


LogCallback = ctypes.CFUNCTYPE(None, c_int, c_char_p, c_void_p)

# what a function returns, and what it takes
FUNCTIONS: Mapping[str, tuple[Any, tuple[Any, ...]]] = {
    "llama_backend_init": (None, ()),
    "llama_log_set": (None, (LogCallback, c_void_p)),
    "llama_model_default_params": (ModelParams, ()),
    "llama_model_load_from_file": (c_void_p, (c_char_p, ModelParams)),
    "llama_model_free": (None, (c_void_p,)),
    "llama_model_meta_val_str": (c_int32, (c_void_p, c_char_p, c_char_p, c_size_t)),
    "llama_model_get_vocab": (c_void_p, (c_void_p,)),
    "llama_vocab_n_tokens": (c_int32, (c_void_p,)),
    "llama_vocab_eos": (c_int32, (c_void_p,)),
    "llama_vocab_eot": (c_int32, (c_void_p,)),
    "llama_tokenize": (c_int32, (c_void_p, c_char_p, c_int32, POINTER(c_int32), c_int32, c_bool, c_bool)),
    "llama_token_to_piece": (c_int32, (c_void_p, c_int32, c_char_p, c_int32, c_int32, c_bool)),
    "llama_adapter_lora_init": (c_void_p, (c_void_p, c_char_p)),
    "llama_adapter_meta_val_str": (c_int32, (c_void_p, c_char_p, c_char_p, c_size_t)),
    "llama_set_adapters_lora": (c_int32, (c_void_p, POINTER(c_void_p), c_size_t, POINTER(c_float))),
    "llama_context_default_params": (ContextParams, ()),
    "llama_init_from_model": (c_void_p, (c_void_p, ContextParams)),
    "llama_free": (None, (c_void_p,)),
    "llama_get_memory": (c_void_p, (c_void_p,)),
    "llama_memory_clear": (None, (c_void_p, c_bool)),
    "llama_memory_seq_cp": (None, (c_void_p, c_int32, c_int32, c_int32, c_int32)),
    "llama_memory_seq_rm": (c_bool, (c_void_p, c_int32, c_int32, c_int32)),
    "llama_batch_init": (Batch, (c_int32, c_int32, c_int32)),
    "llama_batch_free": (None, (Batch,)),
    "llama_decode": (c_int32, (c_void_p, Batch)),
    "llama_get_logits_ith": (POINTER(c_float), (c_void_p, c_int32)),
    "llama_model_quantize_default_params": (QuantizeParams, ()),
    "llama_model_quantize": (c_int32, (c_char_p, c_char_p, POINTER(QuantizeParams))),
}

# Types and constants, under the names that llama-cpp-python gives them.
ALIASES: Mapping[str, Any] = {
    "llama_token": c_int32,
    "llama_adapter_lora_p_ctypes": c_void_p,
    "llama_log_callback": LogCallback,
    "LLAMA_FTYPE_MOSTLY_Q4_0": 2,
}

# Defaults that llama.cpp has had for long. Each stands behind, or is itself, a field that a shifted layout would
# read from somewhere else; the flags at the end of a structure are the most telling.
DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "llama_model_default_params": {
        "split_mode": 1,
        "main_gpu": 0,
        "tensor_split": None,
        "kv_overrides": None,
        "vocab_only": False,
        "check_tensors": False,
        "use_extra_bufts": True,
        "no_host": False,
        "no_alloc": False,
    },
    "llama_context_default_params": {
        "n_ctx": 512,
        "n_batch": 2048,
        "n_ubatch": 512,
        "n_seq_max": 1,
        "n_threads": 4,
        "n_threads_batch": 4,
        "rope_scaling_type": -1,
        "attention_type": -1,
        "yarn_ext_factor": -1.0,
        "yarn_beta_slow": -1.0,
        "yarn_orig_ctx": 0,
        "cb_eval": None,
        "type_k": 1,
        "type_v": 1,
        "abort_callback": None,
        "embeddings": False,
        "offload_kqv": True,
        "no_perf": True,
        "op_offload": True,
        "swa_full": True,
        "kv_unified": False,
        "samplers": None,
        "n_samplers": 0,
        "ctx_other": None,
    },
    "llama_model_quantize_default_params": {
        "nthread": 0,
        "allow_requantize": False,
        "quantize_output_tensor": True,
        "only_copy": False,
        "imatrix": None,
        "prune_layers": None,
    },
}


def declare(library: Any) -> Any:
    """Give the functions of a loaded library their types. Raises AttributeError for one that it does not have."""
    for name, (result, arguments) in FUNCTIONS.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    for name, value in ALIASES.items():
        setattr(library, name, value)
    return library


def misfit(library: Any) -> str | None:
    """The first field whose default is not what llama.cpp sets, as text; None if all layouts fit."""
    for name, expected in DEFAULTS.items():
        probe = library[name]  # another object than the attribute, so that the declared types stay
        probe.restype, probe.argtypes = _with_room(FUNCTIONS[name][0]), ()
        found = probe().fields
        for field, value in expected.items():
            if (has := getattr(found, field)) != value:
                return f"{name}().{field} is {has!r}, expected {value!r}"
    return None


def _with_room(structure: Any) -> Any:
    """The structure with free space behind it: the result of another build may be larger, and is written whole."""

    class Room(ctypes.Structure):
        _fields_ = [("fields", structure), ("rest", c_int8 * 4096)]

    return Room
