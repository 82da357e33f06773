curl -X DELETE "https://api.veriglob.com/v1/keys/key_abc123def456" \
  -H "Authorization: Bearer your-session-token"
