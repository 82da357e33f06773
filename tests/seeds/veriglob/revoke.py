import requests


def revoke_api_key(session_token: str, key_id: str) -> dict:
    """Permanently revoke an API key."""
    response = requests.delete(
        f'https://api.veriglob.com/v1/keys/{key_id}',
        headers={'Authorization': f'Bearer {session_token}'}
    )
    response.raise_for_status()
    return response.json()


# Usage

result = revoke_api_key('your-session-token', 'key_abc123def456')
print(f"Revoked at: {result['data']['revoked_at']}")
