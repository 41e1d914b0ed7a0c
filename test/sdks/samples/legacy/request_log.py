import logging

import openai

openai.api_base = "http://localhost:8000/v1"
openai.api_key = "YOUR_API_KEY"

logging.basicConfig(level=logging.INFO)
logger = logging.getLogger(__name__)


def chat_with_logging(messages):
    logger.info(f"asking: {messages}")

    try:
        response = openai.ChatCompletion.create(
            model="gpt-3.5-turbo",
            messages=messages
        )

        logger.info(f"served, tokens: {response.usage.total_tokens}")
        return response
    except Exception as e:
        logger.error(f"failed: {e}")
        raise


chat_with_logging([{"role": "user", "content": "Write this down."}])
