curl http://localhost:8000/v1/models/openai-primary:gpt-3.5-turbo \
  -H "Authorization: Bearer YOUR_API_KEY"
