"""Asks a gateway by the SDK as it was before 1.0: questions come as lines of JSON, what came of each goes out as one."""

import json
import sys
import threading

import openai

printing = threading.Lock()


def told(error):
    try:
        body = json.loads(getattr(error, "http_body", None) or "{}").get("error", {})
    except ValueError:
        body = {}
    return {
        "exception": type(error).__name__,
        "status": getattr(error, "http_status", None),
        "code": body.get("code"),
        "partial": body.get("partial", False),
    }


def ask(question):
    options = {"request_timeout": question["timeout"]} if "timeout" in question else {}
    answer = {"id": question["id"], "text": "", "pieces": 0, "finish": None, "provider": None, "exception": None}
    try:
        response = openai.ChatCompletion.create(
            api_base=question["base_url"],
            api_key=question["api_key"],
            model=question["model"],
            messages=question["messages"],
            stream=question["stream"],
            **options,
            **question["more"],
        )
        if question["stream"]:
            for chunk in response:
                for choice in chunk.choices:
                    content = choice.delta.get("content")
                    answer["text"] += content or ""
                    answer["pieces"] += 1 if content else 0
                    answer["finish"] = choice.finish_reason or answer["finish"]
        else:
            answer["text"] = response.choices[0].message.content
            answer["finish"] = response.choices[0].finish_reason
            answer["provider"] = response.get("provider")
    except Exception as error:
        answer.update(told(error))
    with printing:
        print(json.dumps(answer), flush=True)


print("ready", flush=True)
for line in sys.stdin:
    threading.Thread(target=ask, args=[json.loads(line)]).start()
