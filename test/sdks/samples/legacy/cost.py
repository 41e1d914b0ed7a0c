import openai

openai.api_base = "http://localhost:8000/v1"
openai.api_key = "YOUR_API_KEY"


def choose_model(task_complexity):
    if task_complexity == "simple":
        return "gpt-3.5-turbo"
    elif task_complexity == "complex":
        return "gpt-4"
    else:
        return "gpt-3.5-turbo"


for complexity in ("simple", "complex"):
    response = openai.ChatCompletion.create(
        model=choose_model(complexity),
        messages=[{"role": "user", "content": "again and " * 100}],
        max_tokens=100
    )
    print(response.model, response.usage.completion_tokens, response.choices[0].finish_reason)
