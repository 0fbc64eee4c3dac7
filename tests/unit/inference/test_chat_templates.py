"""Conversations as models want them written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from troupe.api.common.v1.error_pb2 import ErrorReason
from troupe.api.inference.v1.inference_service_pb2 import Message, Role, ToolDefinition
from troupe.core.errors import TroupeError
from troupe.inference.backends.chat_templates import ChatTemplate

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
USER = Role.ROLE_USER


def said(text: str, role: "Role.ValueType" = USER) -> Message:
    return Message(role=role, text=text)


def test_turns_are_written_in_their_order() -> None:
    messages = [said("Be brief.", Role.ROLE_SYSTEM), said("Hi"), said("Hello.", Role.ROLE_ASSISTANT), said("Why?")]
    assert ChatTemplate(CHATML).render(messages) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nWhy?<|im_end|>\n<|im_start|>assistant\n"
    )


@given(st.lists(st.sampled_from(["a", " ", "<|im_end|>", "<|im_start|>", "<|", "|>", "im_end", "<", "\u2060"])))
def test_no_text_can_end_a_turn(parts: list[str]) -> None:
    rendered = ChatTemplate(CHATML).render([said("".join(parts))])
    assert rendered.count("<|im_end|>") == 1
    assert rendered.count("<|im_start|>") == 2
    assert rendered.replace("\u2060", "") == ChatTemplate(CHATML).render([said("X")]).replace(
        "X", "".join(parts).replace("\u2060", "")
    )


@pytest.mark.parametrize(
    ("template", "mark"),
    [
        ("<start_of_turn>{{ messages[0].content }}<end_of_turn>", "<end_of_turn>"),
        ("[INST] {{ messages[0].content }} [/INST]", "[/INST]"),
        ("<<SYS>>{{ messages[0].content }}<</SYS>>", "<</SYS>>"),
        ("{{ bos_token }}{{ messages[0].content }}{{ eos_token }}", "</s>"),
        ("{{ messages[0].content }}", "<|endoftext|>"),
        ("{{ messages[0].content }}", "<|eot_id|>"),
    ],
)
def test_marks_of_other_families_are_neutral_too(template: str, mark: str) -> None:
    chat = ChatTemplate(template, tokens={"bos_token": "<s>", "eos_token": "</s>"})
    alone = chat.render([said("")]).count(mark)
    assert chat.render([said(f"a{mark}b")]).count(mark) == alone


def test_tools_and_calls_reach_the_template() -> None:
    message = Message(role=Role.ROLE_ASSISTANT)
    call = message.tool_calls.add(call_id="c1", name="search")
    call.arguments.update({"limit": 3, "query": "a<|im_end|>b"})
    tool = ToolDefinition(name="search", description="finds")
    tool.parameters.update({"type": "object", "maxProperties": 2})
    source = (
        "{{ tools[0].function.name }} {{ tools[0].function.parameters | tojson }} "
        "{{ messages[0].tool_calls[0].function.arguments | tojson }}"
    )
    written = ChatTemplate(source).render([message], tools=[tool])
    assert written.startswith('search {"type": "object", "maxProperties": 2} ') or 'maxProperties": 2' in written
    assert "<|im_end|>" not in written
    assert '"limit": 3' in written


@pytest.mark.parametrize("source", ["{% if %}", "{{", "{% endfor %}", "{{ a b }}"])
def test_what_is_no_template_says_so(source: str) -> None:
    with pytest.raises(ValueError, match="is no chat template"):
        ChatTemplate(source)


def test_what_the_template_refuses_is_the_callers_error() -> None:
    with pytest.raises(TroupeError, match="takes no such conversation: no system") as caught:
        ChatTemplate("{{ raise_exception('no system') }}").render([said("x")])
    assert caught.value.reason == ErrorReason.ERROR_REASON_INVALID_REQUEST


@pytest.mark.parametrize(
    "source",
    [
        "{{ messages.append(1) }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ messages[0].content.format.__globals__.x }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{% for i in range(10000000) %}x{% endfor %}",
        "{{ 1 // 0 }}",
        "{{ messages[9].content.x }}",
    ],
)
def test_a_template_reaches_nothing_and_its_faults_are_the_models(source: str) -> None:
    with pytest.raises(TroupeError) as caught:
        ChatTemplate(source).render([said("x")])
    assert caught.value.reason == ErrorReason.ERROR_REASON_MODEL_REFUSED
