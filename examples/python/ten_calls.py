"""Ten calls to an Everhop gateway. Each is a function of its own, made to be copied."""

from __future__ import annotations

import argparse
import base64
import json
import math
import os
import sys
from collections.abc import Callable, Iterator

import grpc
from everhop import v1
from google.protobuf.message import Message
from google.rpc import error_details_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status


class Unexpected(Exception):
    """A call was answered, but not as it should have been."""


class Gateway:
    """A connection to a gateway, with the key, the model and the time limit that all the calls use."""

    def __init__(self, address: str, api_key: str, model: str) -> None:
        self.chat = v1.ChatServiceStub(grpc.insecure_channel(address))
        self.metadata = (("authorization", f"Bearer {api_key}"),) if api_key else ()
        self.model = model

    def complete(self, prompt: v1.Prompt) -> v1.CompleteChatResponse:
        return self.chat.CompleteChat(v1.CompleteChatRequest(prompt=prompt), timeout=60, metadata=self.metadata)

    def stream(self, prompt: v1.Prompt) -> Iterator[v1.StreamChatResponse]:
        return self.chat.StreamChat(v1.StreamChatRequest(prompt=prompt), timeout=60, metadata=self.metadata)


def text(gateway: Gateway) -> None:
    """1. Text in, text out."""
    answer = gateway.complete(
        v1.Prompt(
            model=gateway.model,
            messages=[say(v1.ROLE_USER, "Name a river in Europe.")],
        )
    )
    completion = answer.completion
    said = first_text(completion)
    print(f"{said!r} from {completion.model} by {completion.provider}, {completion.usage.output_tokens} tokens")
    print_hops(answer.trail)


def history(gateway: Gateway) -> None:
    """2. Instructions and a conversation so far."""
    answer = gateway.complete(
        v1.Prompt(
            model=gateway.model,
            messages=[
                say(v1.ROLE_SYSTEM, "Answer in one word."),
                say(v1.ROLE_USER, "The capital of France?"),
                say(v1.ROLE_ASSISTANT, "Paris."),
                say(v1.ROLE_USER, "And of Italy?"),
            ],
            sampling=v1.Sampling(temperature=0),
            max_output_tokens=200,
        )
    )
    print(repr(first_text(answer.completion)))
    print_hops(answer.trail)


def image(gateway: Gateway) -> None:
    """3. A question about an image."""
    answer = gateway.complete(
        v1.Prompt(
            model=gateway.model,
            messages=[
                v1.Message(
                    role=v1.ROLE_USER,
                    parts=[
                        v1.Part(text="What colour is this?"),
                        v1.Part(media=v1.Media(data=RED_DOT, media_type="image/png")),
                    ],
                )
            ],
        )
    )
    print(repr(first_text(answer.completion)))
    print_hops(answer.trail)


def tool_call(gateway: Gateway) -> None:
    """4. A tool: the model asks for it, the program runs it, the model answers with what it told."""
    prompt = v1.Prompt(
        model=gateway.model,
        messages=[say(v1.ROLE_USER, "How warm is it in Oslo?")],
        tools=[
            v1.Tool(
                function=v1.FunctionTool(
                    name="get_temperature",
                    description="Tells the temperature in a city, in degrees Celsius.",
                    parameters_json=json.dumps(
                        {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
                    ),
                )
            )
        ],
        tool_choice=v1.ToolChoice(function_name="get_temperature"),  # Without it the model decides whether to call.
    )
    candidate = first_candidate(gateway.complete(prompt).completion)
    if candidate.finish_reason != v1.FINISH_REASON_TOOL_CALLS:
        raise Unexpected(f"expected FINISH_REASON_TOOL_CALLS, got {v1.FinishReason.Name(candidate.finish_reason)}")

    wishes = [part.tool_call for part in candidate.message.parts if part.HasField("tool_call")]
    if not wishes:
        raise Unexpected("no tool call came")
    results = v1.Message(role=v1.ROLE_TOOL)  # One result for each call.
    for wish in wishes:
        if not wish.id or wish.name != "get_temperature":
            raise Unexpected(f"expected a call of get_temperature with an id, got {wish}")
        arguments = json.loads(wish.arguments_json)
        if not isinstance(arguments, dict) or not isinstance(arguments.get("city"), str):
            raise Unexpected(f"expected arguments with a city, got {wish.arguments_json}")
        print(f"{wish.name} of {arguments['city']!r} is wanted")
        result = v1.ToolResult(tool_call_id=wish.id, parts=[v1.Part(text=json.dumps({"celsius": 18}))])
        results.parts.append(v1.Part(tool_result=result))

    prompt.messages.extend([candidate.message, results])  # The model's own message goes back as it came.
    prompt.ClearField("tool_choice")
    answer = gateway.complete(prompt)
    print(repr(first_text(answer.completion)))
    print_hops(answer.trail)


def json_schema(gateway: Gateway) -> None:
    """5. An answer that satisfies a JSON Schema."""
    schema = {
        "type": "object",
        "properties": {"name": {"type": "string"}, "population": {"type": "integer"}},
        "required": ["name", "population"],
        "additionalProperties": False,
    }
    answer = gateway.complete(
        v1.Prompt(
            model=gateway.model,
            messages=[say(v1.ROLE_USER, "The capital of Norway and its population?")],
            json_schema=v1.JsonSchemaFormat(name="city", schema_json=json.dumps(schema), strict=True),
        )
    )
    city = json.loads(first_text(answer.completion))
    if not isinstance(city, dict) or not isinstance(city.get("name"), str) or not isinstance(city.get("population"), int):
        raise Unexpected(f"expected name and population, got {city}")
    print(f"name {city['name']!r}, population {city['population']}")
    print_hops(answer.trail)


def two_candidates(gateway: Gateway) -> None:
    """6. Two alternative answers at once."""
    answer = gateway.complete(
        v1.Prompt(
            model=gateway.model,
            messages=[say(v1.ROLE_USER, "Invent a name for a cat.")],
            candidate_count=2,
        )
    )
    said = [text_of(candidate) for candidate in answer.completion.candidates]
    if [candidate.index for candidate in answer.completion.candidates] != [0, 1] or not all(said):
        raise Unexpected(f"expected two candidates with text, got {answer.completion}")
    print(f"{said[0]!r} or {said[1]!r}")
    print_hops(answer.trail)


def logprobs(gateway: Gateway) -> None:
    """7. How sure the model was of each token."""
    answer = gateway.complete(
        v1.Prompt(
            model=gateway.model,
            messages=[say(v1.ROLE_USER, "Heads or tails?")],
            logprobs=v1.LogprobsOptions(top_count=2),
        )
    )
    first_text(answer.completion)
    tokens = answer.completion.candidates[0].logprobs
    if not tokens:
        raise Unexpected("no log probabilities came")
    for token in tokens:
        if token.logprob > 0 or len(token.alternatives) > 2:
            raise Unexpected(f"expected a logarithm of a probability and at most two alternatives, got {token}")
    first = tokens[0]
    print(f"{len(tokens)} tokens, the first {first.token!r} at {math.exp(first.logprob):.0%} with {len(first.alternatives)} alternatives")
    print_hops(answer.trail)


def stop_sequence(gateway: Gateway) -> None:
    """8. An answer that ends where a text would come."""
    answer = gateway.complete(
        v1.Prompt(
            model=gateway.model,
            messages=[say(v1.ROLE_USER, "Repeat: one two three four five")],
            stop_sequences=["four"],
        )
    )
    said = first_text(answer.completion)
    reason = answer.completion.candidates[0].finish_reason
    if "four" in said or reason != v1.FINISH_REASON_STOP:
        raise Unexpected(f"expected an end before 'four', got {said!r} with {v1.FinishReason.Name(reason)}")
    print(repr(said))
    print_hops(answer.trail)


def stream(gateway: Gateway) -> None:
    """9. An answer as it comes. Who wants only the text needs neither completion nor fold."""
    prompt = v1.Prompt(
        model=gateway.model,
        messages=[say(v1.ROLE_USER, "Tell a story in three sentences.")],
    )
    completion = v1.Completion()
    end: v1.CompletionEnd | None = None
    printed = ""
    try:
        for response in gateway.stream(prompt):
            event = response.event
            delta = event.part_delta.text  # Empty for every other event.
            print(delta, end="", flush=True)
            printed += delta
            fold(completion, event)
            if event.HasField("end"):
                end = event.end  # The trail stands here.
    finally:
        print()
    if end is None:
        raise Unexpected("the stream closed without its end event")
    said = first_text(completion)
    if said != printed:
        raise Unexpected(f"folded {said!r}, printed {printed!r}")
    reason = v1.FinishReason.Name(completion.candidates[0].finish_reason)
    print(f"{len(said)} characters, {completion.usage.output_tokens} tokens, {reason}")
    print_hops(end.trail)


def unknown_model(gateway: Gateway) -> None:
    """10. A call that fails. It passes when it fails as it should."""
    try:
        gateway.complete(v1.Prompt(model="no-such-model", messages=[say(v1.ROLE_USER, "Hello?")]))
    except grpc.RpcError as error:
        if code_of(error) != grpc.StatusCode.NOT_FOUND or reason_of(error) != "MODEL_NOT_FOUND":
            raise
        print(describe(error))
        print_hops(trail_of(error))
    else:
        raise Unexpected("expected NOT_FOUND, got an answer")


CALLS: list[tuple[str, Callable[[Gateway], None]]] = [
    ("text", text),
    ("system and history", history),
    ("image", image),
    ("tool call", tool_call),
    ("JSON schema", json_schema),
    ("two candidates", two_candidates),
    ("logprobs", logprobs),
    ("stop sequence", stop_sequence),
    ("stream", stream),
    ("error", unknown_model),
]


def say(role: v1.Role.ValueType, text: str) -> v1.Message:
    """A message of one text."""
    return v1.Message(role=role, parts=[v1.Part(text=text)])


def text_of(candidate: v1.Candidate) -> str:
    """What a candidate says. Its other parts, such as reasoning and tool calls, have no text here."""
    return "".join(part.text for part in candidate.message.parts)


def first_candidate(completion: v1.Completion) -> v1.Candidate:
    if not completion.candidates:
        raise Unexpected("no candidate came")
    return completion.candidates[0]


def first_text(completion: v1.Completion) -> str:
    """The text of the first candidate. It is an error when there is none."""
    candidate = first_candidate(completion)
    text = text_of(candidate)
    if not text:
        raise Unexpected(f"no text came, but {candidate}")
    return text


def fold(completion: v1.Completion, event: v1.CompletionEvent) -> None:
    """Adds one event of a stream to the completion. After the last event it is what CompleteChat would have answered.

    Events and parts of a kind that is not known yet are passed over.
    """
    match event.WhichOneof("kind"):
        case "start":
            start = event.start
            completion.id, completion.model, completion.provider = start.id, start.model, start.provider
            if start.HasField("create_time"):
                completion.create_time.CopyFrom(start.create_time)
        case "part_start":
            parts = candidate_at(completion, event.part_start.candidate_index).message.parts
            if event.part_start.part_index != len(parts):
                raise Unexpected(f"part {event.part_start.part_index} started out of turn")
            parts.append(event.part_start.head)
        case "part_delta":
            delta = event.part_delta
            candidate = candidate_at(completion, delta.candidate_index)
            candidate.logprobs.extend(delta.logprobs)
            append_delta(part_at(candidate, delta.part_index), delta)
        case "part_end":
            part = part_at(candidate_at(completion, event.part_end.candidate_index), event.part_end.part_index)
            part.signature = event.part_end.signature or part.signature
        case "candidate_end":
            candidate = candidate_at(completion, event.candidate_end.candidate_index)
            candidate.finish_reason = event.candidate_end.finish_reason
            candidate.native_finish_reason = event.candidate_end.native_finish_reason
            candidate.extension_json.update(event.candidate_end.extension_json)
        case "end":
            completion.usage.CopyFrom(event.end.usage)
            completion.extension_json.update(event.end.extension_json)


def candidate_at(completion: v1.Completion, index: int) -> v1.Candidate:
    """Finds a candidate, or adds it when its first part begins. Events of different candidates may come in any order."""
    while index >= len(completion.candidates):
        message = v1.Message(role=v1.ROLE_ASSISTANT)
        completion.candidates.append(v1.Candidate(index=len(completion.candidates), message=message))
    return completion.candidates[index]


def part_at(candidate: v1.Candidate, index: int) -> v1.Part:
    if index >= len(candidate.message.parts):
        raise Unexpected(f"part {index} has not started")
    return candidate.message.parts[index]


def append_delta(part: v1.Part, delta: v1.PartDelta) -> None:
    match part.WhichOneof("kind"):
        case "text":
            part.text += delta.text
        case "reasoning":
            part.reasoning += delta.reasoning
        case "refusal":
            part.refusal += delta.refusal
        case "tool_call":
            part.tool_call.arguments_json += delta.arguments_json
        case None:
            pass
        case kind:
            raise Unexpected(f"a delta for a part of {kind}")


def code_of(error: grpc.RpcError) -> grpc.StatusCode | None:
    return error.code() if isinstance(error, grpc.Call) else None


def reason_of(error: grpc.RpcError) -> str:
    """Why a call failed: a stable word, made for programs."""
    info = error_details_pb2.ErrorInfo()
    return info.reason if unpack_detail(error, info) else ""


def trail_of(error: grpc.RpcError) -> v1.RouteTrail | None:
    """The way that a failed call took; None when it failed before any provider was asked."""
    trail = v1.RouteTrail()
    return trail if unpack_detail(error, trail) else None


def unpack_detail(error: grpc.RpcError, into: Message) -> bool:
    """Fills a message with the detail of its type that a failed call carries, if it carries one."""
    status = rpc_status.from_call(error) if isinstance(error, grpc.Call) else None
    return status is not None and any(detail.Unpack(into) for detail in status.details)


def describe(error: grpc.RpcError) -> str:
    """Says why a call failed in one line."""
    if not isinstance(error, grpc.Call):
        return str(error)
    line = f"{error.code().name}: {error.details()}"
    info, request, retry = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest(), error_details_pb2.RetryInfo()
    if unpack_detail(error, info):
        line += f" [{info.reason} of {info.domain}]"
    if unpack_detail(error, request):
        line += "".join(f" [{violation.field}: {violation.description}]" for violation in request.field_violations)
    if unpack_detail(error, retry):
        line += f" [try again in {retry.retry_delay.ToTimedelta()}]"
    return line


def print_hops(trail: v1.RouteTrail | None) -> None:
    """Says line by line what was tried and what was passed over, in the order in which it happened."""
    if trail is None:
        return
    skips = list(trail.skips)
    for attempt in trail.attempts:
        while skips and skips[0].before_attempt <= attempt.index:
            print_skip(skips.pop(0))
        outcome = word(v1.AttemptOutcome, attempt.outcome, "ATTEMPT_OUTCOME_")
        status = f" (HTTP {attempt.http_status})" if attempt.http_status else ""
        print(f"  > {attempt.endpoint} {outcome} in {attempt.duration.ToMilliseconds()}ms{status}")
    for skip in skips:
        print_skip(skip)


def print_skip(skip: v1.Skip) -> None:
    print(f"  > {skip.endpoint} passed over: {word(v1.SkipReason, skip.reason, 'SKIP_REASON_')}")


def word(enum: type[v1.AttemptOutcome] | type[v1.SkipReason], value: int, prefix: str) -> str:
    """Shortens the name of an enum value: ATTEMPT_OUTCOME_RATE_LIMITED becomes rate limited. A later version's value stays a number."""
    known = enum.DESCRIPTOR.values_by_number.get(value)
    return known.name.removeprefix(prefix).replace("_", " ").lower() if known else str(value)


RED_DOT = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC")
"""A PNG of one red pixel."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--address", default=os.environ.get("EVERHOP_ADDRESS") or "127.0.0.1:8000", help="where the gateway listens")
    parser.add_argument("--api-key", default=os.environ.get("EVERHOP_API_KEY", ""), help="key of the caller; none for an open gateway")
    parser.add_argument("--model", default="", help="model to ask; the gateway's default when empty")
    options = parser.parse_args()
    gateway = Gateway(options.address, options.api_key, options.model)

    failed = 0
    for number, (name, call) in enumerate(CALLS, start=1):
        print(f"{number}. {name}")
        try:
            call(gateway)
        except grpc.RpcError as error:
            failed += 1
            print("FAILED", describe(error))
            print_hops(trail_of(error))
        except (Unexpected, ValueError) as error:  # ValueError: JSON that cannot be read.
            failed += 1
            print("FAILED", error)
    print(f"{len(CALLS) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
