"""The language model's request to llama.cpp, and who may use it when."""

import json
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from troupe.inference.models.completion.admission import Admission
from troupe.inference.models.completion.sampling import completion_request

DEFAULTS = {"temperature": 0.2, "n_predict": 256}


def request(**parameters: Any) -> Mapping[str, Any]:
    return completion_request("Hi", parameters, defaults=DEFAULTS)


def test_parameters_of_vllm_have_their_names_in_llama_cpp() -> None:
    made = request(
        max_tokens=9, temperature=0, top_k=3, repetition_penalty=1.1, stop="END", seed=7, skip_special_tokens=True
    )
    assert made == {
        "prompt": "Hi",
        "stream": True,
        "return_progress": True,
        "n_predict": 9,
        "temperature": 0,
        "top_k": 3,
        "repeat_penalty": 1.1,
        "seed": 7,
        "stop": ["END"],
    }
    assert request() == {"prompt": "Hi", "stream": True, "return_progress": True, "stop": [], **DEFAULTS}


@pytest.mark.parametrize("name", ["structured_outputs", "guided_decoding"])
def test_a_schema_binds_without_room_for_spaces(name: str) -> None:
    made = request(**{name: json.dumps({"json": {"type": "object"}})})
    assert made["json_schema"] == {"type": "object", "x-guidance": {"whitespace_flexible": False}}
    assert request(**{name: json.dumps({"json": '{"type": "string"}'})})["json_schema"]["type"] == "string"
    assert request(**{name: '{"choice": ["yes", "no"]}'})["grammar"] == 'root ::= "yes" | "no"'


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"max_tokens": 0}, "`max_tokens` must be at least 1"),
        ({"temperature": "hot"}, "`temperature` must be a number"),
        ({"seed": True}, "`seed` must be a number"),
        ({"beam_width": 4}, "`beam_width` is none"),
        ({"stop": [1]}, "`stop` must be a text"),
        ({"stop": 7}, "`stop` must be a text"),
        ({"structured_outputs": {"json": {}}}, "must be a text that is JSON"),
        ({"structured_outputs": "{}"}, "must have one of"),
        ({"guided_decoding": '{"regex": "a"}'}, "takes `json`, `choice` and `grammar`"),
    ],
)
def test_what_the_model_does_not_have_is_refused_by_name(parameters: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        request(**parameters)


class Held:
    """A call that is served until it is let go."""

    def __init__(self) -> None:
        self.serving = threading.Event()
        self.let_go = threading.Event()
        self.ended = threading.Event()
        self.dropped = False
        self.gone = False

    def serve(self) -> None:
        self.serving.set()
        self.let_go.wait()
        self.ended.set()

    def cancelled(self) -> bool:
        return self.gone

    def drop(self) -> None:
        self.dropped = True
        self.ended.set()


def test_slots_are_filled_in_order_and_the_queue_is_bounded() -> None:
    admission = Admission(slots=1, waiting=2)
    first, second, third, fourth = Held(), Held(), Held(), Held()
    assert admission.admit(first)
    assert first.serving.wait(60)
    assert admission.admit(second)
    assert admission.admit(third)
    assert not admission.admit(fourth)
    first.let_go.set()
    assert second.serving.wait(60)
    assert not third.serving.is_set()
    second.let_go.set()
    third.let_go.set()
    assert third.ended.wait(60)
    admission.close()


def test_who_goes_while_waiting_leaves_the_queue() -> None:
    admission = Admission(slots=1, waiting=1)
    running, waiting, next_one = Held(), Held(), Held()
    admission.admit(running)
    assert running.serving.wait(60)
    assert admission.admit(waiting)
    waiting.gone = True
    assert waiting.ended.wait(60)
    assert waiting.dropped
    assert not waiting.serving.is_set()
    assert admission.admit(next_one)
    running.let_go.set()
    next_one.let_go.set()
    admission.close()
    assert next_one.ended.is_set()


def test_closing_ends_what_waits_and_what_runs() -> None:
    admission = Admission(slots=1, waiting=4)
    running, waiting = Held(), Held()
    admission.admit(running)
    assert running.serving.wait(60)
    admission.admit(waiting)
    waiting.let_go.set()
    running.let_go.set()
    admission.close()
    assert running.ended.is_set()
    assert waiting.ended.is_set()
