import openai
from tenacity import retry, stop_after_attempt, wait_exponential

openai.api_base = "http://localhost:8000/v1"
openai.api_key = "YOUR_API_KEY"


@retry(
    stop=stop_after_attempt(3),
    wait=wait_exponential(multiplier=1, min=2, max=10)
)
def chat_with_retry(messages):
    return openai.ChatCompletion.create(
        model="gpt-3.5-turbo",
        messages=messages
    )


response = chat_with_retry([{"role": "user", "content": "Is anybody there?"}])
print(response.choices[0].message.content)
