curl -X POST "https://api.veriglob.com/v1/keys/generate" \
  -H "Authorization: Bearer your-session-token" \
  -H "Content-Type: application/json" \
  -d '{ "name": "Production API Key" }'
