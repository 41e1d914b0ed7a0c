import time

import openai

openai.api_base = "http://localhost:8000/v1"
openai.api_key = "YOUR_API_KEY"

start = time.time()
response = openai.ChatCompletion.create(
    model="gpt-3.5-turbo",
    messages=[{"role": "user", "content": "Hello"}]
)
duration = time.time() - start

print(f"took {duration:.2f} s, {response['latency_ms']} ms of it at the gateway")
print(f"tokens: {response.usage.total_tokens}")
print(f"provider: {response.get('provider')}")
