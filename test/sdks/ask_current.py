"""Asks a gateway by the current SDK: questions come as lines of JSON, what came of each goes out as one. Many may be under way."""

import json
import sys
import threading

import openai

printing = threading.Lock()


def told(error):
    body = error.body if isinstance(getattr(error, "body", None), dict) else {}
    return {
        "exception": type(error).__name__,
        "status": getattr(error, "status_code", None),
        "code": body.get("code"),
        "partial": body.get("partial", False),
        "request_id": getattr(error, "request_id", None),
    }


def ask(question):
    options = {name: question[name] for name in ("timeout", "max_retries") if name in question}
    answer = {"id": question["id"], "text": "", "pieces": 0, "finish": None, "provider": None, "exception": None, "request_id": None}
    with openai.OpenAI(base_url=question["base_url"], api_key=question["api_key"], **options) as client:
        try:
            response = client.chat.completions.create(
                model=question["model"],
                messages=question["messages"],
                stream=question["stream"],
                extra_body=question["more"],
            )
            if question["stream"]:
                for chunk in response:
                    for choice in chunk.choices:
                        answer["text"] += choice.delta.content or ""
                        answer["pieces"] += 1 if choice.delta.content else 0
                        answer["finish"] = choice.finish_reason or answer["finish"]
            else:
                answer["text"] = response.choices[0].message.content
                answer["finish"] = response.choices[0].finish_reason
                answer["provider"] = response.provider
                answer["request_id"] = response._request_id
        except Exception as error:
            answer.update(told(error))
    with printing:
        print(json.dumps(answer), flush=True)


print("ready", flush=True)
for line in sys.stdin:
    threading.Thread(target=ask, args=[json.loads(line)]).start()
