import openai

openai.api_base = "http://localhost:8000/v1"
openai.api_key = "YOUR_API_KEY"


def process_stream(messages):
    try:
        response = openai.ChatCompletion.create(
            model="gpt-3.5-turbo",
            messages=messages,
            stream=True
        )

        full_response = ""
        for chunk in response:
            content = chunk.choices[0].delta.get("content", "")
            full_response += content
            print(content, end="", flush=True)

        return full_response
    except Exception as e:
        print(f"\nfailed: {e}")
        return None


print("\n" + repr(process_stream([{"role": "user", "content": "Name four winds, please, and where each comes from."}])))
