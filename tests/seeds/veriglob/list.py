import requests


def list_api_keys(session_token: str) -> dict:
    """List all API keys for the account."""
    response = requests.get(
        'https://api.veriglob.com/v1/keys',
        headers={'Authorization': f'Bearer {session_token}'}
    )
    response.raise_for_status()
    return response.json()


# Usage

result = list_api_keys('your-session-token')
print(f"Total keys: {result['data']['total']}")
for key in result['data']['keys']:
    print(f"- {key['name']} ({key['tier']}): {key['key_prefix']}")
