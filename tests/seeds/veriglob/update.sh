curl -X PATCH "https://api.veriglob.com/v1/keys/key_abc123def456" \
  -H "Authorization: Bearer your-session-token" \
  -H "Content-Type: application/json" \
  -d '{
  "name": "Renamed Production Key"
}'
