import requests


def update_api_key(session_token: str, key_id: str, name: str) -> dict:
    """Update an API key's name."""
    response = requests.patch(
        f'https://api.veriglob.com/v1/keys/{key_id}',
        headers={
            'Authorization': f'Bearer {session_token}',
            'Content-Type': 'application/json'
        },
        json={'name': name}
    )
    response.raise_for_status()
    return response.json()


# Usage

result = update_api_key('your-session-token', 'key_abc123def456', 'Renamed Production Key')
print(f"Updated at: {result['data']['updated_at']}")
