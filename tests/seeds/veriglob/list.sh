curl -X GET "https://api.veriglob.com/v1/keys" \
  -H "Authorization: Bearer your-session-token"
