import requests


def get_api_key_details(session_token: str, key_id: str) -> dict:
    """Get details for a specific API key."""
    response = requests.get(
        f'https://api.veriglob.com/v1/keys/{key_id}',
        headers={'Authorization': f'Bearer {session_token}'}
    )
    response.raise_for_status()
    return response.json()


# Usage

result = get_api_key_details('your-session-token', 'key_abc123def456')
print(f"Key name: {result['data']['name']}")
print(f"Usage today: {result['data']['usage']['requests_today']}")
