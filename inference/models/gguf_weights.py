"""Weights of a language model in the form that llama.cpp computes with fastest here, and what they say of its chats."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from gguf import GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
from gguf.quants import dequantize, quantize

# Types without a fast matrix product on common processors; prompts are read nearly twice as fast as Q8_0.
_SLOW: Final = (GGMLQuantizationType.Q4_1, GGMLQuantizationType.Q5_0, GGMLQuantizationType.Q5_1)
_CONTROL_TOKEN: Final = 3
_FILE_TYPE: Final = "general.file_type"
_MOSTLY_Q8_0: Final = 7
# In place of templates that weights come with, by the name of the model. That of SmolLM2 makes up a system turn where
# there is none, with which the smallest of them answers English questions in French.
_TEMPLATES: Final[Mapping[str, str]] = {
    "smollm2": "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
}
_OF_THE_READER: Final = "GGUF."


def requantise(source: Path, target: Path) -> None:
    """Writes the same weights, those of slow types as Q8_0; every value is at least as exact as before."""
    reader = GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = GGUFWriter(target, str(architecture))
    for name, field in reader.fields.items():
        if name.startswith(_OF_THE_READER) or name == "general.architecture":
            continue
        value = _MOSTLY_Q8_0 if name == _FILE_TYPE else field.contents()
        element = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(name, value, field.types[0], element)
    for tensor in reader.tensors:
        data, kind = tensor.data, tensor.tensor_type
        if kind in _SLOW:
            data, kind = quantize(dequantize(data, kind), GGMLQuantizationType.Q8_0), GGMLQuantizationType.Q8_0
        writer.add_tensor(tensor.name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def chat_parameters(weights: Path) -> Mapping[str, str]:
    """The parameters of a Triton model that tell how it wants conversations written."""
    fields = GGUFReader(weights).fields
    name = fields.get("general.basename")
    tokens = fields["tokenizer.ggml.tokens"].contents()
    kinds = fields["tokenizer.ggml.token_type"].contents()
    control = [token for token, kind in zip(tokens, kinds, strict=True) if kind == _CONTROL_TOKEN]
    return {
        "chat_template": _TEMPLATES.get(str(name.contents()).lower() if name else "")
        or str(fields["tokenizer.chat_template"].contents()),
        "bos_token": tokens[fields["tokenizer.ggml.bos_token_id"].contents()],
        "eos_token": tokens[fields["tokenizer.ggml.eos_token_id"].contents()],
        "control_tokens": json.dumps(control),
    }
