"""llama.cpp through its C API; no other module uses it. ``ra_sdk.reasoner.llama_library`` loads it.

A model, a context, and one batch that is reused. Sequence 0 holds the head of the prompt; every other
sequence begins with a copy of its keys and values. Each sequence has its own KV cache: in a unified one,
attention runs over the keys of all sequences and masks most of them, which takes 1.4 times as long for
prompts and 1.6 times for replies.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ra_sdk.errors import Closed, ModelError
from ra_sdk.reasoner.llama_library import load

if TYPE_CHECKING:
    import numpy as np

__all__ = ["BATCH", "Llama", "requantise"]

BATCH = 512  # tokens decoded at once

# tokens, the first one's position, sequence, whether the logits of the last are needed
Part = tuple[list[int], int, int, bool]


class Llama:
    """A loaded model; ``open`` allocates its context. Raises ModelError. Not thread-safe.

    ``adapter``: a LoRA in GGUF, applied at run time. ``gpu_layers``: -1 for all.
    """

    def __init__(self, path: Path, adapter: Path | None, gpu_layers: int) -> None:
        self._api: Any = load()
        self._path, self._model = path, self._load(path, gpu_layers)
        self._adapter = None if adapter is None else self._adapt(adapter)
        self._vocab = self._api.llama_model_get_vocab(self._model)
        self._size = self._api.llama_vocab_n_tokens(self._vocab)
        self._batch = self._api.llama_batch_init(BATCH, 0, 1)
        self._context: Any = None
        self._head: list[int] | None = None
        self.sequences = 0
        self._pieces: dict[int, str] = {}
        self.decoded = 0  # tokens, since the model was loaded
        self.ends = {
            self._api.llama_vocab_eos(self._vocab),
            self._api.llama_vocab_eot(self._vocab),
            *self.tokens("<|im_end|>", special=True)[:1],
        }

    def open(self, threads: int, context: int, sequences: int) -> None:
        """Allocate a context for ``sequences`` sequences of ``context`` tokens each. Raises ModelError."""
        options = self._api.llama_context_default_params()
        options.n_ctx, options.n_batch, options.n_ubatch = context * sequences, BATCH, BATCH
        options.n_seq_max, options.kv_unified, options.no_perf = sequences, False, True
        options.n_threads = options.n_threads_batch = threads
        self._context = self._api.llama_init_from_model(self._model, options)
        if not self._context:
            raise ModelError(f"model {str(self._path)!r} cannot get memory for {sequences} sequences of {context} tokens; choose a smaller context or width")
        if self._adapter is not None:
            adapters, scales = (self._api.llama_adapter_lora_p_ctypes * 1)(self._adapter), (ctypes.c_float * 1)(1.0)
            self._api.llama_set_adapters_lora(self._context, adapters, 1, scales)
        self._memory = self._api.llama_get_memory(self._context)
        self.sequences = sequences

    def tokens(self, text: str, *, special: bool) -> list[int]:
        """Token ids. ``special``: parse the names of control tokens."""
        data = text.encode("utf-8", "replace")
        room = (self._api.llama_token * (len(data) + 8))()
        count = self._api.llama_tokenize(self._vocab, data, len(data), room, len(room), False, special)
        return list(room[:count])

    def text(self, token: int) -> str:
        """The text of a token, without bytes that are not a whole character."""
        if token not in self._pieces:
            room = ctypes.create_string_buffer(256)
            count = self._api.llama_token_to_piece(self._vocab, token, room, len(room), 0, False)
            self._pieces[token] = room.raw[: max(count, 0)].decode("utf-8", "ignore")
        return self._pieces[token]

    def metadata(self, key: str, *, of_adapter: bool = False) -> str | None:
        """A text from the metadata of the model's file, or of the adapter's; None if it is absent."""
        room = ctypes.create_string_buffer(1024)
        if of_adapter:
            count = self._api.llama_adapter_meta_val_str(self._adapter, key.encode(), room, len(room))
        else:
            count = self._api.llama_model_meta_val_str(self._model, key.encode(), room, len(room))
        return room.value.decode("utf-8", "replace") if count >= 0 else None

    def start(self, head: list[int]) -> None:
        """Compute the head, unless it is there already, and clear all other sequences."""
        for sequence in range(1, self.sequences):
            self.forget(sequence)
        if self._head == head:
            return
        self._head = None
        self._api.llama_memory_clear(self._memory, True)
        for at in range(0, len(head), BATCH):
            self.decode([(head[at : at + BATCH], at, 0, False)])
        self._head = head

    def copy(self, sequence: int, to: int) -> None:
        """Copy the keys and values of a sequence to another; 0 is the head."""
        self._api.llama_memory_seq_cp(self._memory, sequence, to, -1, -1)

    def forget(self, sequence: int) -> None:
        """Clear a sequence."""
        self._api.llama_memory_seq_rm(self._memory, sequence, -1, -1)

    def decode(self, parts: Sequence[Part]) -> list[int]:
        """Decode tokens of adjacent sequences, in ascending order, in one batch. Returns the rows of their last tokens. Raises ModelError.

        llama.cpp computes sequences together only if they are adjacent and equally long, so shorter parts are
        padded, and the padding is removed afterwards.
        """
        decode = self._api.llama_decode  # first: raises Closed for a closed model, which has no batch
        batch, count, longest, rows = self._batch, 0, max(len(tokens) for tokens, *_ in parts), list[int]()
        for tokens, position, sequence, wanted in parts:
            for offset in range(longest):
                batch.token[count] = tokens[offset] if offset < len(tokens) else 0
                batch.pos[count], batch.logits[count] = position + offset, wanted and offset == len(tokens) - 1
                batch.n_seq_id[count], batch.seq_id[count][0] = 1, sequence
                count += 1
            rows.append(count - longest + len(tokens) - 1)
        batch.n_tokens = count
        status = decode(self._context, batch)
        if status != 0:
            self._head = None
            raise ModelError(f"llama.cpp could not decode a batch of {count} tokens (status {status}); choose a larger context or a smaller width")
        for tokens, position, sequence, _ in parts:
            if len(tokens) < longest:
                self._api.llama_memory_seq_rm(self._memory, sequence, position + len(tokens), -1)
        self.decoded += sum(len(tokens) for tokens, *_ in parts)
        return rows

    def logits(self, row: int) -> np.ndarray[Any, Any]:
        """Logits of a row (float32, one per token of the vocabulary); valid until the next decode."""
        import numpy as np

        return np.ctypeslib.as_array(self._api.llama_get_logits_ith(self._context, row), (self._size,))

    def close(self) -> None:
        """Free everything. Any use afterwards raises Closed; closing again does nothing."""
        if self._model is None:
            return
        self._api.llama_batch_free(self._batch)
        if self._context:
            self._api.llama_free(self._context)
        self._api.llama_model_free(self._model)
        self._model = self._context = None
        self._api = _Gone(self._path)

    def _load(self, path: Path, gpu_layers: int) -> Any:
        options = self._api.llama_model_default_params()
        options.n_gpu_layers = 10_000 if gpu_layers < 0 else gpu_layers
        model = self._api.llama_model_load_from_file(str(path).encode(), options)
        if not model:
            raise ModelError(f"model {str(path)!r} cannot be loaded: it is corrupt or of an unsupported kind; download it again, or choose another GGUF file")
        return model

    def _adapt(self, path: Path) -> Any:
        adapter = self._api.llama_adapter_lora_init(self._model, str(path).encode())
        if not adapter:
            raise ModelError(f"adapter {str(path)!r} does not fit the model; choose the adapter that was trained for it, or none")
        return adapter


class _Gone:
    """Replaces llama.cpp's functions once the model is freed, as calling these would crash the process."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __getattr__(self, name: str) -> Any:
        raise Closed(f"model {str(self._path)!r} was closed; open it again")


def requantise(source: Path, target: Path, kind: str) -> None:
    """Write the GGUF ``source`` to ``target`` with another weight type (such as "Q4_0"), atomically.

    Raises ModelError.
    """
    api = load()
    options = api.llama_model_quantize_default_params()
    options.allow_requantize, options.ftype = True, getattr(api, f"LLAMA_FTYPE_MOSTLY_{kind}")
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, fresh = tempfile.mkstemp(suffix=".part", dir=target.parent)
    os.close(handle)
    try:
        if api.llama_model_quantize(str(source).encode(), fresh.encode(), ctypes.byref(options)) != 0:
            raise ModelError(f"model {str(source)!r} cannot be written as {kind} to {str(target.parent)!r}; is it a whole GGUF file, and is there room?")
        Path(fresh).replace(target)
    finally:
        Path(fresh).unlink(missing_ok=True)
