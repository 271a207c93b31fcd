"""What instrumentations call the same thing by many names, by the names of OpenTelemetry's conventions 1.41.

Known are the conventions for generative AI since 1.27, OpenInference, OpenLLMetry (traceloop), Langfuse and
MLflow. A span keeps what none of them names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from headrace.core.record import Span, SpanEvent
from headrace.monitoring.messages import (
    INPUT,
    OUTPUT,
    decoded,
    messages_of,
    messages_of_flat,
    one_message,
    to_json,
)

OPERATION, PROVIDER = "gen_ai.operation.name", "gen_ai.provider.name"
REQUEST_MODEL, RESPONSE_MODEL = "gen_ai.request.model", "gen_ai.response.model"
INPUT_TOKENS, OUTPUT_TOKENS = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
CONVERSATION, USER = "gen_ai.conversation.id", "user.id"
AGENT, TOOL = "gen_ai.agent.name", "gen_ai.tool.name"
ARGUMENTS, RESULT = "gen_ai.tool.call.arguments", "gen_ai.tool.call.result"
QUERY, DOCUMENTS = "gen_ai.retrieval.query.text", "gen_ai.retrieval.documents"
INSTRUCTIONS, TOOLS = "gen_ai.system_instructions", "gen_ai.tool.definitions"

_CACHE_READ = "gen_ai.usage.cache_read.input_tokens"
_REASONING = "gen_ai.usage.reasoning.output_tokens"
_FINISH = "gen_ai.response.finish_reasons"
_RENAMED = {
    # conventions up to 1.36
    "gen_ai.system": PROVIDER,
    "gen_ai.usage.prompt_tokens": INPUT_TOKENS,
    "gen_ai.usage.completion_tokens": OUTPUT_TOKENS,
    "gen_ai.openai.request.seed": "gen_ai.request.seed",
    "gen_ai.workflow.name": AGENT,
    # OpenInference
    "llm.model_name": REQUEST_MODEL,
    "llm.request.model_name": REQUEST_MODEL,
    "llm.response.model_name": RESPONSE_MODEL,
    "embedding.model_name": REQUEST_MODEL,
    "reranker.model_name": REQUEST_MODEL,
    "llm.provider": PROVIDER,
    "llm.system": PROVIDER,
    "llm.token_count.prompt": INPUT_TOKENS,
    "llm.token_count.completion": OUTPUT_TOKENS,
    "llm.token_count.prompt_details.cache_read": _CACHE_READ,
    "llm.token_count.completion_details.reasoning": _REASONING,
    "llm.finish_reason": _FINISH,
    "session.id": CONVERSATION,
    "agent.name": AGENT,
    "tool.name": TOOL,
    "tool.description": "gen_ai.tool.description",
    "tool.id": "gen_ai.tool.call.id",
    "reranker.query": QUERY,
    # OpenLLMetry
    "traceloop.association.properties.session_id": CONVERSATION,
    "traceloop.association.properties.user_id": USER,
    "llm.usage.prompt_tokens": INPUT_TOKENS,
    "llm.usage.completion_tokens": OUTPUT_TOKENS,
    "gen_ai.usage.reasoning_tokens": _REASONING,
    "gen_ai.usage.cache_read_input_tokens": _CACHE_READ,
    "gen_ai.user": USER,
    "llm.user": USER,
    "gen_ai.is_streaming": "gen_ai.request.stream",
    "llm.is_streaming": "gen_ai.request.stream",
    # Langfuse
    "langfuse.observation.model.name": REQUEST_MODEL,
    "langfuse.session.id": CONVERSATION,
    "langfuse.user.id": USER,
    "langfuse.observation.prompt.name": "gen_ai.prompt.name",
    "langfuse.observation.status_message": "otel.status_description",
    # MLflow
    "mlflow.llm.model": REQUEST_MODEL,
    "mlflow.llm.provider": PROVIDER,
    "mlflow.trace.session": CONVERSATION,
    "mlflow.trace.user": USER,
    "mlflow.chat.tools": TOOLS,
}
_KIND_NAMES = (
    "openinference.span.kind",
    "traceloop.span.kind",
    "llm.request.type",
    "langfuse.observation.type",
    "mlflow.spanType",
)
_OPERATIONS = {
    "llm": "chat",
    "chat": "chat",
    "chat_model": "chat",
    "generation": "chat",
    "completion": "text_completion",
    "embedding": "embeddings",
    "embeddings": "embeddings",
    "retriever": "retrieval",
    "reranker": "retrieval",
    "retrieval": "retrieval",
    "tool": "execute_tool",
    "agent": "invoke_agent",
    "chain": "invoke_workflow",
    "workflow": "invoke_workflow",
}
_PROVIDERS = {
    "az.ai.openai": "azure.ai.openai",
    "az.ai.inference": "azure.ai.inference",
    "azure": "azure.ai.openai",
    "vertex_ai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "gemini": "gcp.gemini",
    "google": "gcp.gen_ai",
    "aws": "aws.bedrock",
    "bedrock": "aws.bedrock",
    "xai": "x_ai",
    "mistralai": "mistral_ai",
    "watsonx": "ibm.watsonx.ai",
}
_PARAMETERS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
}
_PARAMETERS_IN = ("llm.invocation_parameters", "langfuse.observation.model.parameters")
_USAGE = {
    "input": INPUT_TOKENS,
    "input_tokens": INPUT_TOKENS,
    "prompt_tokens": INPUT_TOKENS,
    "output": OUTPUT_TOKENS,
    "output_tokens": OUTPUT_TOKENS,
    "completion_tokens": OUTPUT_TOKENS,
}
_USAGE_IN = ("langfuse.observation.usage_details", "mlflow.chat.tokenUsage")
_FLAT = {
    "llm.input_messages.": INPUT,
    "llm.output_messages.": OUTPUT,
    "gen_ai.prompt.": INPUT,
    "gen_ai.completion.": OUTPUT,
    "llm.prompts.": INPUT,
    "llm.completions.": OUTPUT,
    "retrieval.documents.": DOCUMENTS,
}
"""Prefixes of lists that are spread over attributes: ``llm.input_messages.0.message.role``."""
_CONTENT = {
    "input.value": INPUT,
    "output.value": OUTPUT,
    "traceloop.entity.input": INPUT,
    "traceloop.entity.output": OUTPUT,
    "langfuse.observation.input": INPUT,
    "langfuse.observation.output": OUTPUT,
    "mlflow.spanInputs": INPUT,
    "mlflow.spanOutputs": OUTPUT,
    "gen_ai.prompt": INPUT,
    "gen_ai.completion": OUTPUT,
}
"""What went into a step and came out of it, in whatever form its author chose."""
_BY_STEP = {
    ("execute_tool", INPUT): ARGUMENTS,
    ("execute_tool", OUTPUT): RESULT,
    ("retrieval", INPUT): QUERY,
    ("retrieval", OUTPUT): DOCUMENTS,
}
_ALIEN = (
    "llm.", "gen_ai.", "openinference.", "traceloop.", "langfuse.", "mlflow.", "input.", "output.",
    "retrieval.", "embedding.", "reranker.", "session.", "agent.", "tool.",
)  # fmt: skip
_ANY_FLAT = tuple(_FLAT)
_NOISE = ("input.mime_type", "output.mime_type", "llm.token_count.total", "gen_ai.usage.total_tokens")
_SAID = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}
_CHOICE, _DETAILS = "gen_ai.choice", "gen_ai.client.inference.operation.details"
_PROMPT_EVENTS = {"gen_ai.content.prompt": INPUT, "gen_ai.content.completion": OUTPUT}


def normalised(span: Span) -> Span:
    """The span by the names of conventions 1.41. What already has them stays as it is.

    >>> from datetime import datetime
    >>> at = datetime(2026, 1, 1)
    >>> span = Span(
    ...     trace_id="1",
    ...     span_id="2",
    ...     parent_id=None,
    ...     name="chat",
    ...     started_at=at,
    ...     ended_at=at,
    ...     attributes={"llm.model_name": "small", "openinference.span.kind": "LLM"},
    ... )
    >>> normalised(span).attributes
    {'gen_ai.request.model': 'small', 'gen_ai.operation.name': 'chat'}
    """
    if not span.events and not any(name.startswith(_ALIEN) for name in span.attributes):
        return span
    attributes = _renamed(span.attributes)
    events = _of_events(attributes, span.events)
    # Said by where they are in a trace, not by how they look.
    provider = attributes.get(PROVIDER)
    if isinstance(provider, str):
        attributes[PROVIDER] = _PROVIDERS.get(provider.lower(), provider.lower())
    if isinstance(attributes.get(_FINISH), str):
        attributes[_FINISH] = [attributes[_FINISH]]
    return replace(span, attributes=attributes, events=events)


def _renamed(given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    flat: dict[str, dict[str, Any]] = {}
    contents: list[tuple[str, Any]] = []
    for name, value in given.items():
        if name in _RENAMED:
            found.setdefault(_RENAMED[name], decoded(value) if name.startswith("mlflow.") else value)
        elif name.startswith(_ANY_FLAT):
            prefix = next(one for one in _ANY_FLAT if name.startswith(one))
            flat.setdefault(prefix, {})[name[len(prefix) :]] = value
        elif name in _KIND_NAMES:
            kind = str(decoded(value)).lower()
            found.setdefault(OPERATION, _OPERATIONS.get(kind, kind))
        elif name in _CONTENT:
            contents.append((name, value))
        elif name in _PARAMETERS_IN or name in _USAGE_IN:
            _spread(found, value, _PARAMETERS if name in _PARAMETERS_IN else _USAGE)
        elif name not in _NOISE:
            # The conventions' own name says it best.
            found[name] = value
    _add_flat(found, flat)
    _add_contents(found, contents)
    return found


def _add_flat(found: dict[str, Any], flat: Mapping[str, Mapping[str, Any]]) -> None:
    for prefix, values in flat.items():
        target = _FLAT[prefix]
        if target not in found:
            said = messages_of_flat(values, documents=target == DOCUMENTS)
            if said:
                found[target] = to_json(said)


def _add_contents(found: dict[str, Any], contents: Sequence[tuple[str, Any]]) -> None:
    for name, value in contents:
        side = _CONTENT[name]
        target = _BY_STEP.get((str(found.get(OPERATION, "")), side), side)
        if target in found:
            continue
        if target in (INPUT, OUTPUT):
            found[target] = to_json(messages_of(value, "user" if side == INPUT else "assistant"))
        else:
            found[target] = value if isinstance(value, str) else to_json(value)


def _of_events(found: dict[str, Any], events: Sequence[SpanEvent]) -> tuple[SpanEvent, ...]:
    """Messages that were said in events become attributes; the other events are left."""
    left: list[SpanEvent] = []
    said: dict[str, list[dict[str, Any]]] = {INPUT: [], OUTPUT: []}
    for event in events:
        if event.name in _SAID:
            said[INPUT].append(one_message(event.attributes, _SAID[event.name]))
        elif event.name == _CHOICE:
            said[OUTPUT].append(one_message(event.attributes, "assistant"))
        elif event.name in _PROMPT_EVENTS:
            side = _PROMPT_EVENTS[event.name]
            text = next((v for k, v in event.attributes.items() if k.startswith("gen_ai.")), "")
            said[side] += messages_of(text, "user" if side == INPUT else "assistant")
        elif event.name == _DETAILS:
            for name, value in event.attributes.items():
                found.setdefault(name, value)
        else:
            left.append(event)
    for side, messages in said.items():
        if messages and side not in found:
            found[side] = to_json(messages)
    return tuple(left)


def _spread(found: dict[str, Any], value: Any, names: Mapping[str, str]) -> None:
    """The fields of a JSON object that the conventions have names for."""
    given = decoded(value)
    if isinstance(given, dict):
        for name, target in names.items():
            if isinstance(given.get(name), int | float):
                found.setdefault(target, given[name])
