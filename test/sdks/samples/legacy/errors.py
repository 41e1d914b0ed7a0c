import openai
from openai.error import (
    APIError,
    RateLimitError,
    AuthenticationError,
    InvalidRequestError
)

openai.api_base = "http://localhost:8000/v1"
openai.api_key = "YOUR_API_KEY"

try:
    response = openai.ChatCompletion.create(
        model="gpt-3.5-turbo",
        messages=[{"role": "user", "content": "Hello"}]
    )
except AuthenticationError:
    print("the key was refused")
except RateLimitError:
    print("too many requests")
except InvalidRequestError as e:
    print(f"a bad request: {e}")
except APIError as e:
    print(f"the API failed: {e}")
else:
    print("served")
