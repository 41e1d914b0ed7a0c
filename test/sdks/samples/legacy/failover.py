import openai

openai.api_base = "http://localhost:8000/v1"
openai.api_key = "YOUR_API_KEY"

response = openai.ChatCompletion.create(
    model="gpt-3.5-turbo",
    messages=[{"role": "user", "content": "Hello"}],
    provider="openai-primary",
    fallback_providers=["openai-backup", "anthropic"]
)
print(response.get("provider"))
