import requests

response = requests.post(
    "http://localhost:8000/v1/chat/completions",
    json={
        "messages": [
            {"role": "user", "content": "What is a sextant?"}
        ]
    }
)

result = response.json()
print(result['model'], result['choices'][0]['message']['content'])

response = requests.post(
    "http://localhost:8000/v1/chat/completions",
    json={
        "model": "gpt-4",
        "messages": [
            {"role": "system", "content": "Answer in one line."},
            {"role": "user", "content": "What is a sextant?"}
        ]
    }
)

result = response.json()
print(result['model'], result['choices'][0]['message']['content'])
