import asyncio

import openai

openai.api_base = "http://localhost:8000/v1"
openai.api_key = "YOUR_API_KEY"


async def chat_async(messages):
    return await openai.ChatCompletion.acreate(
        model="gpt-3.5-turbo",
        messages=messages
    )


async def batch_requests(messages_list):
    tasks = [chat_async(messages) for messages in messages_list]
    return await asyncio.gather(*tasks)


messages_list = [
    [{"role": "user", "content": "Question 1"}],
    [{"role": "user", "content": "Question 2"}],
    [{"role": "user", "content": "Question 3"}]
]

responses = asyncio.run(batch_requests(messages_list))
for response in responses:
    print(response.choices[0].message.content)
