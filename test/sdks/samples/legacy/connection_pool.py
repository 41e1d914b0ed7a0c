import openai
import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

openai.api_base = "http://localhost:8000/v1"
openai.api_key = "YOUR_API_KEY"

session = requests.Session()
retry = Retry(total=3, backoff_factor=0.3)
adapter = HTTPAdapter(max_retries=retry, pool_connections=10, pool_maxsize=20)
session.mount('http://', adapter)
session.mount('https://', adapter)

openai.requestssession = session

for number in range(3):
    response = openai.ChatCompletion.create(
        model="gpt-3.5-turbo",
        messages=[{"role": "user", "content": f"Question {number}"}]
    )
    print(response.choices[0].message.content)
