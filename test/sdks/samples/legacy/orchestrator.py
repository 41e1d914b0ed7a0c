from typing import Iterator

import openai


class LLMOrchestrator:
    def __init__(self, api_base: str, api_key: str):
        self.api_base = api_base
        self.api_key = api_key
        openai.api_base = api_base
        openai.api_key = api_key

    def chat(self, messages: list, **kwargs) -> dict:
        response = openai.ChatCompletion.create(
            messages=messages,
            **kwargs
        )
        return response

    def chat_stream(self, messages: list, **kwargs) -> Iterator[str]:
        response = openai.ChatCompletion.create(
            messages=messages,
            stream=True,
            **kwargs
        )

        for chunk in response:
            if chunk.choices[0].delta.get("content"):
                yield chunk.choices[0].delta.content


client = LLMOrchestrator(
    api_base="http://localhost:8000/v1",
    api_key="your-api-key"
)

response = client.chat(
    messages=[
        {"role": "system", "content": "Answer in one line."},
        {"role": "user", "content": "Which way to the harbour?"}
    ],
    model="gpt-3.5-turbo",
    temperature=0.7
)
print(response.choices[0].message.content)

for content in client.chat_stream(
    messages=[{"role": "user", "content": "And from there to the old lighthouse?"}],
    model="gpt-3.5-turbo"
):
    print(content, end="", flush=True)
