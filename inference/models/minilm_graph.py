"""Builds the ONNX graph of all-MiniLM-L6-v2 from its safetensors, with standard operators and without torch.

Architecture: BERT with post-layer norm (Devlin et al., 2019); mean pooling over the tokens and L2 normalisation
are part of the graph, as sentence-transformers does them for this model.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

_OPSET = 20  # the first with Gelu
_IR_VERSION = 10

Array = npt.NDArray[Any]


def build_graph(weights: Path, target: Path) -> None:
    """Writes the graph of the model in the folder `weights` to the file `target`.

    Inputs `input_ids` and `attention_mask`, int64 `[batch, tokens]`; output `embedding`, float32 `[batch, hidden]`.
    """
    config = json.loads((weights / "config.json").read_text())
    graph = _Graph(load_file(weights / "model.safetensors"), config)
    model = graph.model()
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(target))


class _Graph:
    """Collects nodes and constants; a value is known by its name."""

    def __init__(self, tensors: dict[str, Array], config: dict[str, Any]) -> None:
        self._tensors = tensors
        self._hidden: int = config["hidden_size"]
        self._heads: int = config["num_attention_heads"]
        self._layers: int = config["num_hidden_layers"]
        self._epsilon: float = config["layer_norm_eps"]
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def model(self) -> onnx.ModelProto:
        """The whole model."""
        bias = self._attention_bias()
        states = self._embeddings()
        for index in range(self._layers):
            states = self._layer(f"encoder.layer.{index}", states, bias)
        self._pool(states)
        graph = helper.make_graph(
            self._nodes,
            "minilm",
            [self._io(name, TensorProto.INT64, "tokens") for name in ("input_ids", "attention_mask")],
            [self._io("embedding", TensorProto.FLOAT, self._hidden)],
            list(self._constants.values()),
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)

    def _io(self, name: str, element: int, width: int | str) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, element, ["batch", width])

    def _embeddings(self) -> str:
        tensors = self._tensors
        # Token types are always 0: their row is folded into the positions.
        types = tensors["embeddings.token_type_embeddings.weight"][0]
        positions = self._constant("positions", tensors["embeddings.position_embeddings.weight"] + types)
        words = self._constant("words", tensors["embeddings.word_embeddings.weight"])
        length = self._node("Shape", "input_ids", start=1, end=2)
        zero = self._constant("zero", np.array([0], np.int64))
        placed = self._node("Slice", positions, zero, length, zero)
        gathered = self._node("Gather", words, "input_ids")
        return self._norm("embeddings.LayerNorm", self._node("Add", gathered, placed))

    def _attention_bias(self) -> str:
        """0 where a token is, the smallest float where padding is; `[batch, 1, 1, tokens]`."""
        mask = self._node("Cast", "attention_mask", to=TensorProto.FLOAT)
        absent = self._node("Sub", self._constant("one", np.array(1, np.float32)), mask)
        smallest = self._constant("smallest", np.array(np.finfo(np.float32).min, np.float32))
        axes = self._constant("mask_axes", np.array([1, 2], np.int64))
        return self._node("Unsqueeze", self._node("Mul", absent, smallest), axes)

    def _layer(self, name: str, states: str, bias: str) -> str:
        context = self._attention(f"{name}.attention.self", states, bias)
        output = self._dense(f"{name}.attention.output.dense", context)
        states = self._norm(f"{name}.attention.output.LayerNorm", self._node("Add", output, states))
        wide = self._node("Gelu", self._dense(f"{name}.intermediate.dense", states))
        output = self._dense(f"{name}.output.dense", wide)
        return self._norm(f"{name}.output.LayerNorm", self._node("Add", output, states))

    def _attention(self, name: str, states: str, bias: str) -> str:
        scale = (self._hidden // self._heads) ** -0.5
        query = self._split(self._dense(f"{name}.query", states, scale=scale), [0, 2, 1, 3])
        key = self._split(self._dense(f"{name}.key", states), [0, 2, 3, 1])
        value = self._split(self._dense(f"{name}.value", states), [0, 2, 1, 3])
        scores = self._node("Add", self._node("MatMul", query, key), bias)
        context = self._node("MatMul", self._node("Softmax", scores, axis=-1), value)
        merged = self._constant("merged", np.array([0, 0, self._hidden], np.int64))
        return self._node("Reshape", self._node("Transpose", context, perm=[0, 2, 1, 3]), merged)

    def _split(self, states: str, order: list[int]) -> str:
        shape = np.array([0, 0, self._heads, self._hidden // self._heads], np.int64)
        return self._node("Transpose", self._node("Reshape", states, self._constant("split", shape)), perm=order)

    def _pool(self, states: str) -> None:
        axis = self._constant("axis", np.array([1], np.int64))
        last = self._constant("last", np.array([-1], np.int64))
        mask = self._node("Unsqueeze", self._node("Cast", "attention_mask", to=TensorProto.FLOAT), last)
        total = self._node("ReduceSum", self._node("Mul", states, mask), axis, keepdims=0)
        mean = self._node("Div", total, self._node("ReduceSum", mask, axis, keepdims=0))
        length = self._node("ReduceL2", mean, axis, keepdims=1)
        floor = self._constant("floor", np.array(1e-12, np.float32))
        self._node("Div", mean, self._node("Max", length, floor), output="embedding")

    def _dense(self, name: str, states: str, *, scale: float = 1.0) -> str:
        weight = self._constant(f"{name}.weight", self._tensors[f"{name}.weight"].T * np.float32(scale))
        bias = self._constant(f"{name}.bias", self._tensors[f"{name}.bias"] * np.float32(scale))
        return self._node("Add", self._node("MatMul", states, weight), bias)

    def _norm(self, name: str, states: str) -> str:
        weight = self._constant(f"{name}.weight", self._tensors[f"{name}.weight"])
        bias = self._constant(f"{name}.bias", self._tensors[f"{name}.bias"])
        return self._node("LayerNormalization", states, weight, bias, axis=-1, epsilon=self._epsilon)

    def _constant(self, name: str, value: Array) -> str:
        # Not ascontiguousarray: it makes scalars one-dimensional, which changes the rank of what uses them.
        self._constants.setdefault(name, numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def _node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"{operator}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output
