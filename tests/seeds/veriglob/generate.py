import requests
from typing import Optional


def generate_api_key(
    session_token: str,
    name: str,
    tier: Optional[str] = None
) -> dict:
    """Generate a new API key."""
    payload = {'name': name}
    if tier:
        payload['tier'] = tier

    response = requests.post(
        'https://api.veriglob.com/v1/keys/generate',
        headers={
            'Authorization': f'Bearer {session_token}',
            'Content-Type': 'application/json'
        },
        json=payload
    )
    response.raise_for_status()
    return response.json()


# Usage

result = generate_api_key('your-session-token', 'Production API Key')
print(f"API Key: {result['data']['api_key']}")
print(f"Rate Limit: {result['data']['rate_limit']} requests/min")
